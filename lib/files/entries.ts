/** What a manifest says of one file or folder, as far as a disk is concerned. */

/** One file or folder of a transfer; they are numbered from 1 in their order. */
export interface Entry {
  readonly type: "file" | "folder";
  /** 1 for a file that may be run, otherwise 0. */
  readonly executable: number;
  /** The number of the folder that it is in, an earlier entry; 0 for none. */
  readonly parent: number;
  /** Bytes; 0 for a folder, undefined for a stream. */
  readonly size: number | undefined;
  /** Milliseconds since 1970. */
  readonly modified: number;
  /** As its owner calls it. */
  readonly name: string;
}
