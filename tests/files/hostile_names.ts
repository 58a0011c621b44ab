/** Names that somebody might send to do harm, and how each is written: what it tries, the name, here, on Windows. */

/** As long as a name may be. */
export const LONG = `${"x".repeat(251)}.txt`;

type Row = readonly [what: string, name: string, posix: string, windows: string];

/** The same under the rules of every system. */
function everywhere(what: string, name: string, written: string): Row {
  return [what, name, written, written];
}

/** On Windows alone something else. */
function onWindows(what: string, name: string, windows: string): Row {
  return [what, name, name, windows];
}

export const HOSTILE_NAMES: readonly Row[] = [
  everywhere("nothing", "", "_"),
  everywhere("this folder", ".", "_"),
  everywhere("the folder above", "..", "_"),
  onWindows("three full stops", "...", "_"),
  everywhere("a way up", "../../etc/passwd", ".._.._etc_passwd"),
  everywhere("a way up on Windows", "..\\..\\boot.ini", ".._.._boot.ini"),
  everywhere("an absolute path", "/etc/passwd", "_etc_passwd"),
  ["a drive", "C:\\Windows\\evil.dll", "C:_Windows_evil.dll", "C__Windows_evil.dll"],
  everywhere("a share", "\\\\host\\share", "__host_share"),
  onWindows("a relative drive", "C:evil.txt", "C_evil.txt"),
  onWindows("a stream", "thesis.pdf:evil.exe", "thesis.pdf_evil.exe"),
  onWindows("the stream of all", "thesis.pdf::$DATA", "thesis.pdf__$DATA"),
  everywhere("an end of the string", "a.txt\0.exe", "a.txt_.exe"),
  everywhere("a new line", "a\nb", "a_b"),
  everywhere("what drives a terminal", "\x1b[2Ja\x9b31m", "_[2Ja_31m"),
  everywhere("bell and delete", "\x07a\x7f", "_a_"),
  everywhere("a text turned around", "invoice\u202efdp.exe", "invoice_fdp.exe"),
  everywhere("isolates", "a\u2066b\u2069", "a_b_"),
  everywhere("a byte order mark", "\ufeffa", "_a"),
  everywhere("a blank without a width", "pay\u200bpal", "pay_pal"),
  everywhere("what is not drawn", "\u3164", "_"),
  everywhere("tags", "a\u{e0041}b", "a_b"),
  everywhere("separators of lines", "a\u2028b\u2029", "a_b_"),
  everywhere("half a character", "a\ud800b", "a_b"),
  everywhere("a pile of marks", `a${"\u0300".repeat(20)}`, `a${"\u0300".repeat(8)}\ufffd`),
  everywhere("a blank", " ", "_"),
  everywhere("blanks of the world", "\u3000\u00a0", "_"),
  onWindows("a blank at the end", "thesis.pdf ", "thesis.pdf_"),
  onWindows("full stops at the end", "thesis.pdf..", "thesis.pdf_"),
  onWindows("both at the end", "thesis.pdf. . ", "thesis.pdf_"),
  onWindows("a device", "CON", "_CON"),
  onWindows("a device in small letters", "nul", "_nul"),
  onWindows("a device with an extension", "aux.txt", "_aux.txt"),
  onWindows("a device with a blank and an extension", "prn .tar.gz", "_prn .tar.gz"),
  onWindows("a device and a full stop", "com1.", "_com1_"),
  onWindows("a device with a high number", "LPT\u00b9", "_LPT\u00b9"),
  onWindows("the console's device", "CONIN$", "_CONIN$"),
  onWindows("a device and a stream", "nul:", "nul_"),
  everywhere("no device", "console", "console"),
  everywhere("no device either", "com10", "com10"),
  onWindows("wildcards", "a*?.txt", "a__.txt"),
  onWindows("pipes and redirections", '<a>|"b"', "_a___b_"),
  everywhere("a folder of ours", ".cifra-0123456789abcdef", "_.cifra-0123456789abcdef"),
  everywhere("a folder of ours in capitals", ".CIFRA-x", "_.CIFRA-x"),
  everywhere("an option", "-rf", "-rf"),
  everywhere("a home", "~", "~"),
  everywhere("a variable", "$HOME `id`", "$HOME `id`"),
  everywhere("as long as can be", LONG, LONG),
  everywhere("too long in bytes", "\u6f22".repeat(90), "\u6f22".repeat(85)),
  everywhere("too long within an emoji", `${"x".repeat(253)}\u{1f469}`, "x".repeat(253)),
  [
    "a device as long as can be",
    `NUL.${"x".repeat(251)}`,
    `NUL.${"x".repeat(251)}`,
    `_NUL.${"x".repeat(250)}`,
  ],
  everywhere(
    "letters of the world",
    "\u6f22\u5b57 \u0627\u0644\u0639 \u00f1.pdf",
    "\u6f22\u5b57 \u0627\u0644\u0639 \u00f1.pdf",
  ),
  everywhere(
    "a word of Persian",
    "\u0645\u06cc\u200c\u0631\u0648\u0645.txt",
    "\u0645\u06cc\u200c\u0631\u0648\u0645.txt",
  ),
  everywhere("a family of emoji", "\u{1f469}\u200d\u{1f467}.png", "\u{1f469}\u200d\u{1f467}.png"),
  everywhere("a joiner alone", "a\u200db", "a_b"),
  everywhere("a property of every object", "__proto__", "__proto__"),
];
