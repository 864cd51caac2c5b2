const PATIENCE_MS = 25_000;
const LOOK_MS = 15;

/** Looks until it is so. Generous, because other work may be on this machine. */
export async function until(
  what: string,
  holds: () => unknown,
  more?: () => string,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const end = performance.now() + patienceMs;
  for (;;) {
    const left = end - performance.now();
    const late = new Promise<never>((_, reject) =>
      setTimeout(
        () => reject(new Error(`${what}: not within ${patienceMs / 1_000} s\n${more?.() ?? ""}`)),
        Math.max(1, left),
      ).unref(),
    );
    late.catch(() => {}); // Nobody waits for it once this look is over.
    const look = Promise.resolve(holds());
    look.catch(() => {}); // It may fail after we gave up; before that, the race tells.
    if (await Promise.race([look, late])) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
