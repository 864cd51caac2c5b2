import type { Own } from "../mesh/reachable.ts";

/** How answers of the gateway's own methods look to a person: in the chat and at the command line alike. */

export const time = (at: number): string => {
  const date = new Date(at);
  const pad = (n: number) => String(n).padStart(2, "0");
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
};

export const dayTime = (at: number): string =>
  `${new Date(at).toLocaleDateString("sv")} ${time(at)}`;

/** “3 min ago”, for presence and lists. */
export function ago(at: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - at) / 1_000));
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3_600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

/** Columns under each other, two spaces apart. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function listening(until: number, addresses: readonly string[]): string {
  return [
    `Pairing is open until ${time(until)}. At the device, in its copy of Kith, run:`,
    ...addresses.map((address) => `  npx kith node --gateway ${address}`),
    "It shows a code; type it here: /approve CODE",
  ].join("\n");
}

export function invited(ticket: {
  readonly line: string;
  readonly bare?: string;
  readonly ticket: string;
  readonly until: number;
  readonly caps: readonly string[];
}): string {
  return [
    `Paste this at the device, in its copy of Kith. It lets one device in, until ${time(ticket.until)}:`,
    `  ${ticket.line}`,
    ...(ticket.bare === undefined
      ? []
      : ["or, where there is only Node (24.16 or newer):", `  ${ticket.bare}`]),
    ticket.caps.length > 0
      ? `That device may then be asked for: ${ticket.caps.join(", ")}. Each first use still asks you.`
      : "What it may be asked for is chosen at the device. Each first use still asks you.",
    "Whoever sees the line before you use it can use it: do not post it.",
  ].join("\n");
}

/** Words for whoever pairs a device that cannot come through. */
export function unreachable(own: readonly Own[]): string {
  const [first] = own;
  return first
    ? `Only this machine can reach the gateway now. To let others come, say /pair open ${first.host} (kith pair open ${first.host}); /pair open lists what there is.`
    : "Only this machine can reach the gateway, and it has no other address now: join a network first.";
}

export function ways(listen: readonly string[], own: readonly Own[]): string {
  const what = { machine: "this machine", tailnet: "your tailnet", network: "this network" };
  return [
    `Devices reach this gateway at ${listen.join(", ")}.`,
    ...(own.length > 0
      ? [
          "More can be opened with /pair open ADDRESS:",
          table(own.map(({ host, reach }) => [`  ${host}`, what[reach]])),
        ]
      : ["This machine has no other address now."]),
  ].join("\n");
}

export function approved(attempt: {
  name: string;
  platform: string;
  source: string;
  caps: readonly string[];
  returnCode: string;
}): string {
  return [
    `${attempt.name} (${attempt.platform}, from ${attempt.source}) offers: ${attempt.caps.join(", ") || "nothing yet"}.`,
    `Type this at the device to finish: return code ${attempt.returnCode}`,
    "Nothing is permitted yet: each first use asks you.",
  ].join("\n");
}
