/** A sshd of its own on loopback, for whoever wants to be compared with it. */

/** It runs until `stop`. */
export interface Sshd {
  readonly port: number;
  /** Options of `ssh` and `scp` to come in, but for the port. */
  readonly options: readonly string[];
  stop(): Promise<void>;
}

/** Starts one, with keys made for it. */
export async function startSshd(): Promise<Sshd> {
  const folder = await Deno.makeTempDir({ prefix: "cifra-bench-" });
  for (const key of ["host", "user"]) {
    await new Deno.Command("ssh-keygen", {
      args: ["-q", "-t", "ed25519", "-N", "", "-f", `${folder}/${key}`],
    }).output();
  }
  await Deno.copyFile(`${folder}/user.pub`, `${folder}/authorized`);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await Deno.mkdir("/run/sshd", { recursive: true });
  const server = new Deno.Command("/usr/sbin/sshd", {
    args: ["-D", "-e", "-f", "/dev/null", "-p", `${port}`, "-h", `${folder}/host`]
      .concat(
        [
          "ListenAddress=127.0.0.1",
          "StrictModes=no",
          `AuthorizedKeysFile=${folder}/authorized`,
          "Subsystem=sftp internal-sftp",
        ].flatMap((option) => ["-o", option]),
      ),
    stderr: "null",
  }).spawn();
  for (;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return {
    port,
    options: [
      ...["-q", "-F", "none", "-i", `${folder}/user`],
      ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
    ],
    async stop() {
      server.kill("SIGTERM");
      await server.status;
      await Deno.remove(folder, { recursive: true });
    },
  };
}
