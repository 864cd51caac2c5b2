/**
 * What the terminal in front of a client can show of a picture. Pure, plain JavaScript,
 * without imports: a verb that prints no picture must not pay for it.
 */

/**
 * @typedef {object} Terminal
 * @property {number} columns
 * @property {number} rows
 * @property {"kitty" | "iterm" | "blocks"} protocol
 * @property {"truecolor" | "256"} color
 */

/**
 * Guesses from the environment and asks the terminal nothing: its answer could come
 * late and be taken for typing. When in doubt `blocks`, which every terminal can show.
 *
 * @param {Readonly<Record<string, string | undefined>>} env
 * @param {{ isTTY?: boolean, columns?: number, rows?: number }} stdout
 * @returns {Terminal | undefined} undefined: print words only
 */
export function describeTerminal(env, stdout) {
  if (!stdout.isTTY || env.NO_COLOR || env.TERM === "dumb") return undefined;
  const protocol = protocolOf(env);
  const deep =
    protocol !== "blocks" || // each of those terminals has all colours
    /^(truecolor|24bit)$/.test(env.COLORTERM ?? "") ||
    env.TERM?.endsWith("-direct") ||
    env.WT_SESSION !== undefined;
  return {
    columns: stdout.columns || 80,
    rows: stdout.rows || 24,
    protocol,
    color: deep ? "truecolor" : "256",
  };
}

/**
 * @param {Readonly<Record<string, string | undefined>>} env
 * @returns {Terminal["protocol"]}
 */
function protocolOf(env) {
  const { TERM = "", TERM_PROGRAM = "" } = env;
  // A multiplexer passes the outer terminal's variables on, but not its pictures.
  if (env.TMUX || env.STY || env.ZELLIJ || /^(tmux|screen)/.test(TERM)) return "blocks";
  // WezTerm speaks both, iTerm's more completely (wez/wezterm#986).
  if (TERM_PROGRAM === "iTerm.app" || TERM_PROGRAM === "WezTerm") return "iterm";
  if (env.KITTY_WINDOW_ID || TERM === "xterm-kitty") return "kitty";
  if (TERM_PROGRAM === "ghostty" || TERM === "xterm-ghostty") return "kitty";
  return "blocks";
}
