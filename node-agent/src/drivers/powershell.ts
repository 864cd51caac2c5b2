/** Windows PowerShell as drivers use it: the script is ours and fixed, what it works on comes by stdin. */
import type { Desktop } from "../platform.ts";
import { need, type Ran, runProgram } from "./program.ts";

const SAYS_BYTES = 4_096;

/** @throws KithError not-ready when it is not there */
export const needPowershell = (desktop: Desktop): Promise<string> =>
  need(desktop, "powershell.exe");

/**
 * Runs a script that finds `$in`, the input as an object. `most` bounds the bytes of its stdout.
 * @throws KithError as `runProgram` does
 */
export async function powershell(
  desktop: Desktop,
  script: string,
  input: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
  most = SAYS_BYTES,
): Promise<Ran> {
  const whole = `$ErrorActionPreference = 'Stop'\n$in = [Console]::In.ReadToEnd() | ConvertFrom-Json\n${script}`;
  // Encoded, because quotes and line breaks do not survive a Windows command line.
  const encoded = Buffer.from(whole, "utf16le").toString("base64");
  return await runProgram(
    await needPowershell(desktop),
    ["-NoProfile", "-NonInteractive", "-EncodedCommand", encoded],
    { signal, most, env: desktop.env, input: ascii(input) },
  );
}

/** JSON without a byte that the code page of the console could change. */
const ascii = (value: unknown): string =>
  JSON.stringify(value).replaceAll(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
