import { describe, expect, test } from "vitest";
import { fakeGateway, freshHome, kith, type Link } from "./kith.ts";

const question = { approval: "APPROVAL", call: "CALL", device: "laptop", cap: "camera.snap" };
const result = { call: "CALL", device: "key", name: "laptop", out: {}, streams: [] };

/** A gateway that answers one sentence with `said`, and an answered question with `then`. */
async function chatting(home: string, said: object[], then: object[] = []) {
  const tell = (link: Link, messages: object[]) => {
    for (const [at, message] of messages.entries()) {
      link.say({
        id: `${Object.keys(message)}${at}`,
        chat: "ask-1",
        text: "",
        final: false,
        ...message,
      });
    }
  };
  let link: Link | undefined;
  return fakeGateway(home, (op, _args, now) => {
    if (op === "chat.open") link = now;
    const next = { "chat.say": said, allow: then, deny: then }[op];
    if (link && next) setImmediate(tell, link, next);
    return { out: { chat: "ask-1", approvals: [{ id: "APPROVAL" }] } };
  });
}

describe("kith ask", () => {
  test("prints what is said until it is final, and says that it was seen", async () => {
    const home = await freshHome();
    const { asked } = await chatting(home, [
      { text: "one moment" },
      { text: "hello", final: true },
    ]);
    const { code, stdout } = await kith(home, "ask", "hello", "you");
    expect(stdout).toBe("one moment\nhello\n");
    expect(code).toBe(0);
    expect(asked[0]).toEqual({ op: "chat.open", args: { chat: "ask" } });
    expect(asked[1]).toMatchObject({ op: "chat.say", args: { text: "hello you" } });
    expect(asked[1]?.args.id).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
  });

  test("--json gives the result as invoke does, or the text", async () => {
    const home = await freshHome();
    await chatting(home, [{ text: "here", final: true, result }]);
    expect((await kith(home, "ask", "photo", "--json")).json).toEqual({ ok: true, ...result });
    const other = await freshHome();
    await chatting(other, [{ text: "hello", final: true }]);
    expect((await kith(other, "ask", "hello", "--json")).json).toEqual({ ok: true, text: "hello" });
  });

  test.for([
    ["device-away", 1],
    ["unknown", 4],
  ] as const)("ends with the error of the last message: %s", async ([code, exit]) => {
    const home = await freshHome();
    const error = { code, message: "it sleeps", remedy: "wake it" };
    await chatting(home, [{ text: "no", final: true, error }]);
    const ended = await kith(home, "ask", "photo", "--json");
    expect(ended.json).toEqual({ ok: false, error });
    expect(ended.code).toBe(exit);
  });

  test.for([[[]], [["--wait", "0"]]])(
    "a question with nobody there ends with 3 %s",
    async ([how = []]) => {
      const home = await freshHome();
      await chatting(home, [{ text: "may I?", question }]);
      const { code, json } = await kith(home, "ask", "photo", "--json", ...how);
      expect(code).toBe(3);
      expect(json.error.code).toBe("approval-needed");
      expect(json.error.message).toMatch(/laptop.*camera\.snap.*APPROVAL/);
      expect(json.error.remedy).toBe("kith allow APPROVAL once");
    },
  );

  test("--allow answers it by the owner's own word", async () => {
    const home = await freshHome();
    const { asked } = await chatting(home, [{ question }], [{ final: true, result }]);
    const { json } = await kith(home, "ask", "photo", "--allow", "15m", "--json");
    expect(json).toEqual({ ok: true, ...result });
    expect(asked).toContainEqual({ op: "allow", args: { id: "APPROVAL", for: "15m" } });
  });

  test("goes on where it was when the gateway comes back", async () => {
    const home = await freshHome();
    const ids = new Set<unknown>();
    await fakeGateway(home, (op, args, link) => {
      if (op === "chat.say") {
        const again = ids.has(args.id);
        ids.add(args.id);
        if (!again) return void link.hangUp();
        setImmediate(() => link.say({ id: "M", chat: "ask-1", text: "here I am", final: true }));
      }
      return { out: { chat: "ask-1" } };
    });
    expect((await kith(home, "ask", "hello")).stdout).toBe("here I am\n");
    expect(ids.size).toBe(1);
  });
});
