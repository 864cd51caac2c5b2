/**
 * On-device questions as notifications, for whoever sits at a machine whose agent runs unseen. Their one button
 * says no: a yes is typed in a terminal of this machine, with the code of the question that was read.
 */
import { codeOf } from "./answer.ts";
import type { Consent } from "./consent.ts";
import { showOf } from "./drivers/notify/notify.ts";
import type { Desktop } from "./platform.ts";

/** Returns stop. Where nothing shows notifications nothing happens: the question is asked elsewhere as well. */
export function askOnDesktop(consent: Consent, desktop: Desktop): () => void {
  return consent.listen(({ call, text, over }) => {
    const ask = async () => {
      const show = await showOf(desktop);
      const body = `${text} (kith node yes ${codeOf(call)})`;
      const title = "Assistant asks";
      const pressed = await show({ title, body, urgency: "critical" }, over, "No");
      if (pressed) consent.answer(call, false);
    };
    ask().catch(() => {}); // no desktop, nobody who shows it, or the question is over
  });
}
