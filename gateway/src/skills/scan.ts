/**
 * What in a skill's text is worth reading twice before it is approved. A finding is a reason with its line as
 * evidence, never a verdict: what is found may be harmless, and what is not found proves nothing. What protects
 * is elsewhere: the text is data, nothing of it is executed, and it is read only once its owner approved it.
 */
import { tame } from "@kith/shared/protocol/words";
import type { Diagnostic, Reason } from "./diagnostic.ts";

const SHELL = String.raw`(?:\S{0,64}\/)?(?:ba|z|da|k|fi)?sh\b|python[\d.]*\b|node\b|perl\b|ruby\b|iex\b|powershell\b|pwsh\b`;
const FETCH = String.raw`\b(?:curl|wget|iwr|irm|invoke-webrequest|invoke-restmethod)\b`;
const BASE64 = String.raw`\bbase64\s{1,8}(?:-d\b|-D\b|--decode\b)`;

/** Every gap is bounded, so that a line of 256 KiB costs no more than its length. */
const patterns: readonly (readonly [Reason, RegExp, string])[] = [
  [
    "pipe-to-shell",
    new RegExp(
      String.raw`${FETCH}[^|]{0,400}\|\s{0,8}(?:sudo\s{1,8})?(?:${SHELL})|(?:\b(?:ba|z)?sh|eval|source|iex)\b.{0,40}(?:<\(|\$\(|\()\s{0,8}${FETCH}|\biex\s{1,8}${FETCH}`,
      "i",
    ),
    "runs what it fetched, unseen",
  ],
  [
    "base64-to-shell",
    new RegExp(
      String.raw`${BASE64}[^|]{0,200}\|\s{0,8}(?:sudo\s{1,8})?(?:${SHELL})|\b(?:eval|exec)\b.{0,80}(?:${BASE64}|b64decode|\batob\b)|(?:powershell|pwsh)\S{0,8}\s.{0,80}-e(?:nc|ncodedcommand)?\s`,
      "i",
    ),
    "runs a command that cannot be read",
  ],
  [
    "password-archive",
    /\bunzip\b.{0,80}\s-P\s{0,4}\S|\b7z[a-z]?\b.{0,80}\s-p\S|(?:\.zip|\.7z|\.rar|\barchive)\b.{0,120}\bpass(?:word|code)?\b|\bpass(?:word|code)?\b.{0,120}(?:\.zip|\.7z|\.rar|\barchive)\b/i,
    "an archive with a password: no scanner can look inside",
  ],
  [
    "paste-host",
    /\b(?:pastebin\.com|paste\.ee|rentry\.co|hastebin\.com|ghostbin\.\w{2,8}|glot\.io|dpaste\.\w{2,8}|termbin\.com|0x0\.st|transfer\.sh|ix\.io|webhook\.site|requestbin\.\w{2,8}|pipedream\.net|ngrok(?:-free)?\.(?:io|app)|gist\.githubusercontent\.com)\b/i,
    "a host where anybody can put anything",
  ],
  [
    "injection",
    /\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|system|safety|all)\b.{0,40}\b(?:instruction|rule|prompt|message|guideline|restriction)s?\b|\b(?:do not|don[’']t|never)\s{1,4}(?:tell|inform|mention|show|ask|alert)\b.{0,40}\b(?:user|owner|human|anyone|them)\b|\bwithout (?:asking|telling|informing|notifying)\b.{0,30}\b(?:user|owner|human|anyone)\b|\byou are now\b|\b(?:developer|god|dan|jailbreak) mode\b|<\/?(?:system|assistant)>|\bsystem prompt\b/i,
    "speaks to the assistant as only its owner may",
  ],
  [
    "reads-secrets",
    /~\/\.(?:ssh|aws|gnupg|kith|netrc|config\/gcloud)\b|\bid_(?:rsa|ed25519)\b|\/etc\/shadow\b|\bprintenv\b|\benv\s{0,4}\||\bprocess\.env\b(?!\.)|\bos\.environ\b|\bfind-generic-password\b|\bKITH_HOME\b|\.(?:aws\/credentials|kube\/config)\b|\b(?:wallet\.dat|seed phrase|keychain-db)\b/i,
    "reaches for keys, passwords or the environment",
  ],
  [
    "sends-away",
    /\bcurl\b.{0,200}\s(?:-d|-F|-T|--data(?:-\w{1,12})?|--form|--upload-file)\s{0,4}\S{0,20}(?:@|\$\()|\bnc\s{1,4}(?:-\w{1,4}\s{1,4}){0,3}\S{1,80}\s{1,4}\d{2,5}\b|\/dev\/tcp\/|!\[[^\]]{0,80}\]\(https?:[^)]{0,200}[?&][^)]{0,80}(?:\{|\$|<)/i,
    "sends what is here to somewhere else",
  ],
  [
    "destroys",
    /:\(\)\s{0,4}\{|\brm\s{1,4}-\w{0,4}[rf]\w{0,4}\s{1,4}(?:--no-preserve-root\s{1,4})?(?:\/|~|\$HOME)(?:\s|\*|$|\/\*)|\bmkfs(?:\.\w{1,8})?\s|\bdd\b.{0,80}\bof=\/dev\/|\bchmod\s{1,4}(?:-R\s{1,4})?777\s{1,4}\//i,
    "destroys or stops what it runs on",
  ],
  [
    "install-hook",
    /"(?:pre|post)?install"\s{0,4}:|\bnpm_config_ignore_scripts\b|\bsetup\.py\b.{0,40}\binstall\b/i,
    "a program that starts when something is installed",
  ],
  [
    "native-code",
    /\b(?:binding\.gyp|node-gyp|process\.dlopen)\b|\bctypes\.CDLL\b/i,
    "machine code that no text shows",
  ],
  [
    "invisible-text",
    // A joiner between two pictures is one picture: that is taken away before.
    // oxlint-disable-next-line no-misleading-character-class -- single characters are meant
    /[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e01ef}]/u,
    "characters that nobody sees, and a model reads",
  ],
];

const JOINED =
  /\p{Extended_Pictographic}(?:\ufe0f|\p{Emoji_Modifier})?\u200d(?=\p{Extended_Pictographic})/gu;
/** Lines that a backslash joins. */
const MOST_JOINED = 16;
/** Findings that are told of one file. */
const MOST = 20;
/** Characters of a line that are shown. */
const EVIDENCE = 160;

/** At most 20 findings of one text, each reason once a line. */
export function scan(text: string, file: string): Diagnostic[] {
  const found: Diagnostic[] = [];
  let number = 0;
  let begun: { readonly text: string; readonly number: number } | undefined;
  for (const line of text.split("\n")) {
    number++;
    // A command may go on in the next line, behind a backslash.
    const whole: string = begun ? `${begun.text} ${line.trimStart()}` : line;
    const at: number = begun?.number ?? number;
    begun =
      line.trimEnd().endsWith("\\") && number - at < MOST_JOINED
        ? { text: whole.trimEnd().slice(0, -1), number: at }
        : undefined;
    if (begun) continue;
    const shown = whole.replaceAll(JOINED, "");
    for (const [reason, pattern, why] of patterns) {
      if (!pattern.test(shown)) continue;
      const evidence = tame(whole.trim(), EVIDENCE);
      found.push({
        ...{ class: reason, severity: "warning", line: at, file },
        message: `${why}: ${evidence}`,
      });
      if (found.length === MOST) return found;
    }
  }
  return found;
}

/** Programs that no text shows, told by the name of their file. */
export const isNative = (file: string): boolean =>
  /\.(?:node|so|dylib|dll|exe|bin|wasm|pyd)$|(?:^|\/)binding\.gyp$/i.test(file);
