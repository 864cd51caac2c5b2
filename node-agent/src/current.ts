/** Settings that change while the agent runs, as things that drivers hold for good. */

/** Stands for whatever `now` gives at each look. */
export const current = <T extends object>(now: () => T): T =>
  new Proxy({} as T, {
    get(_, key) {
      const target = now();
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });

/** The same result while what it is made of stays the same. */
export function remade<From, To>(from: () => From, make: (from: From) => To): () => To {
  let made: { readonly of: string; readonly it: To } | undefined;
  return () => {
    const now = from();
    const of = JSON.stringify(now);
    if (made?.of !== of) made = { of, it: make(now) };
    return made.it;
  };
}
