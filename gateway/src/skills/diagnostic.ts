/** One problem of a skill as everybody shows it: a stable class, where, how bad, and what it means. */
/** Why a text should be read twice; see scan.ts. */
export type Reason =
  | "pipe-to-shell"
  | "base64-to-shell"
  | "password-archive"
  | "paste-host"
  | "injection"
  | "invisible-text"
  | "reads-secrets"
  | "sends-away"
  | "destroys"
  | "install-hook"
  | "native-code";

export type DiagnosticClass =
  | Reason
  // The file.
  | "no-skill-file"
  | "file-case"
  | "too-big"
  | "not-text"
  | "bom"
  | "crlf"
  | "no-front-matter"
  | "unclosed"
  | "yaml"
  | "unquoted-colon"
  | "aliases"
  // Its fields.
  | "name-missing"
  | "name-form"
  | "name-folder"
  | "description-missing"
  | "description-long"
  | "compatibility-long"
  | "allowed-tools-list"
  | "field-form"
  | "metadata-form"
  | "requires-form"
  | "unknown-key"
  | "install"
  | "body-empty"
  | "body-long"
  // Its folder.
  | "folder-name"
  | "name-taken"
  | "link"
  | "left-out"
  | "too-many"
  | "unreadable";

export interface Diagnostic {
  readonly class: DiagnosticClass;
  /** `error`: it is not used. `warning`: read this before you approve it. `note`: allowed here, but no strict form. */
  readonly severity: "error" | "warning" | "note";
  /** From 1; 0 where a whole file or folder is meant. */
  readonly line: number;
  /** Inside the skill's folder. */
  readonly file: string;
  readonly message: string;
}

export const isBroken = (diagnostics: readonly Diagnostic[]): boolean =>
  diagnostics.some(({ severity }) => severity === "error");
