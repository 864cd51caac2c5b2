/** The offline grammar: what is meant, what is not, and what must never be misread. */
import { type Answer } from "@kith/gateway/model/model";
import { commandModel, parse } from "@kith/gateway/model/commands";
import { describe, expect, test } from "vitest";

const owner = (text: string): Answer => parse({ text, owner: true });
/** `cap device {args}` or `op {args}`; a sentence of the assistant is `-`. */
const told = (text: string): string => {
  const answer = owner(text);
  const args =
    "args" in answer && Object.keys(answer.args).length > 0
      ? ` ${JSON.stringify(answer.args)}`
      : "";
  return answer.do === "call"
    ? `${answer.cap} [${answer.device}]${args}`
    : answer.do === "operate"
      ? `${answer.op}${args}`
      : "-";
};
const front = '{"facing":"front"}';
const back = '{"facing":"back"}';

test.for<[string, string]>([
  ["grab a photo from my laptop camera", "camera.snap [my laptop]"],
  ["take a photo", "camera.snap []"],
  ["Take a photo.", "camera.snap []"],
  ["TAKE A PHOTO!", "camera.snap []"],
  ["  take   a photo  ", "camera.snap []"],
  ["take a photo\nfrom my laptop", "camera.snap [my laptop]"],
  ["take a photo, please", "camera.snap []"],
  ["take a photo now", "camera.snap []"],
  ["take a photo from the laptop please", "camera.snap [the laptop]"],
  ["please take a photo", "camera.snap []"],
  ["Please, take a photo", "camera.snap []"],
  ["can you take a picture with my phone?", "camera.snap [my phone]"],
  ["could you please send me a pic from attic-server", "camera.snap [attic-server]"],
  ["would you grab me another snapshot on the laptop", "camera.snap [the laptop]"],
  ["take the photo", "camera.snap []"],
  ["take one quick shot", "camera.snap []"],
  ["show me a picture from Anna's MacBook", "camera.snap [Anna's MacBook]"],
  ["take a new picture with the webcam of Anna’s MacBook", "camera.snap [Anna’s MacBook]"],
  ["take a photo with Anna's camera", "camera.snap [Anna]"],
  ["take a picture with my phone's front camera", `camera.snap [my phone] ${front}`],
  ["take a photo with the front camera", `camera.snap [] ${front}`],
  ["take a photo with the rear camera of my phone", `camera.snap [my phone] ${back}`],
  ["take a front photo from my phone", `camera.snap [my phone] ${front}`],
  ["take a selfie", `camera.snap [] ${front}`],
  ["take a selfie with my phone", `camera.snap [my phone] ${front}`],
  ["take a photo with the camera", "camera.snap []"],
  ["take a photo from camera", "camera.snap []"],
  ["take a photo of my laptop camera", "camera.snap [my laptop]"],
  ["take a photo of the office from my laptop", "camera.snap [my laptop]"],
  ["get an image through kitchen webcam", "camera.snap [kitchen]"],
  ["/photo", "camera.snap []"],
  ["/PHOTO", "camera.snap []"],
  ["/photo my laptop", "camera.snap [my laptop]"],
  ["/photo camera", "camera.snap [camera]"],
  ["/photo phone back", `camera.snap [phone] ${back}`],
  ["/photo front phone", `camera.snap [phone] ${front}`],
  ["/photo constructor", "camera.snap [constructor]"],
  ["/photo __proto__", "camera.snap [__proto__]"],
  ["/cameras", "camera.list []"],
  ["/cameras phone", "camera.list [phone]"],
  ["list cameras", "camera.list []"],
  ["show me the cameras of my laptop", "camera.list [my laptop]"],
  ["which cameras does my laptop have?", "camera.list [my laptop]"],
  ["/info attic", "device.info [attic]"],
  ["/status", "status"],
  ["/status laptop", "device.status [laptop]"],
  ["how is my laptop doing?", "device.status [my laptop]"],
  ["how's the attic server", "device.status [the attic server]"],
  ["battery of my phone?", "device.status [my phone]"],
  ["show me the status of laptop", "device.status [laptop]"],
  ["/files get laptop docs/a b.txt", 'files.read [laptop] {"path":"docs/a b.txt"}'],
  ["/files laptop", "files.list [laptop]"],
  ["/files laptop docs/a b", 'files.list [laptop] {"path":"docs/a b"}'],
  ["/copy laptop docs/a.txt phone", 'files.read [laptop] {"path":"docs/a.txt"}'],
  [
    "copy docs/a.txt from my laptop to the phone, please",
    'files.read [my laptop] {"path":"docs/a.txt"}',
  ],
  ["/clip", "camera.clip []"],
  ["/clip laptop", "camera.clip [laptop]"],
  ["/clip old phone 5s", 'camera.clip [old phone] {"seconds":5}'],
  ["/record laptop 30 s", 'screen.record [laptop] {"seconds":30}'],
  ["/listen laptop 5s", 'audio.record [laptop] {"seconds":5}'],
  ["/record 5s", 'screen.record [] {"seconds":5}'],
  ["/screen laptop", "screen.snap [laptop]"],
  ["take a screenshot of my laptop", "screen.snap [my laptop]"],
  ["please get me a screenshot from the desktop now", "screen.snap [the desktop]"],
  ["/clipboard", "clipboard.read []"],
  ["/where my phone", "location.get [my phone]"],
  ["/tell laptop tea  is ready", 'notify.show [laptop] {"title":"tea is ready"}'],
  ["/devices", "devices.list"],
  ["show my devices", "devices.list"],
  ["what devices do I have?", "devices.list"],
  ["/pair", "pair.offer"],
  ["/pair open", "pair.open"],
  ["/pair open 192.168.1.10", 'pair.open {"address":"192.168.1.10"}'],
  ["pair a new device", "pair.offer"],
  ["add my phone", "pair.offer"],
  ["/approve E8Z-PKG-EJH", 'pair.approve {"code":"E8Z-PKG-EJH"}'],
  ["/allow", 'allow {"for":"once"}'],
  ["/allow once", 'allow {"for":"once"}'],
  ["/allow 15m", 'allow {"for":"15m"}'],
  ["/allow 15min ABCDEF", 'allow {"for":"15m","id":"ABCDEF"}'],
  ["/allow ABCDEF 1hour", 'allow {"for":"1h","id":"ABCDEF"}'],
  [
    "/allow once 01M8EVEZFBDV24PRN157NQ6R8Z",
    'allow {"for":"once","id":"01M8EVEZFBDV24PRN157NQ6R8Z"}',
  ],
  ["/allow 4DXYZ1", 'allow {"for":"once","id":"4DXYZ1"}'],
  // Ids that look like times.
  ["/allow once 487HRS", 'allow {"for":"once","id":"487HRS"}'],
  ["/allow 12345H 1h", 'allow {"for":"1h","id":"12345H"}'],
  ["/allow 12DAYS", 'allow {"for":"once","id":"12DAYS"}'],
  ["/allow turn 30SECS", 'allow {"for":"turn","id":"30SECS"}'],
  ["/allow TODAY", 'allow {"for":"today"}'],
  ["/deny", "deny"],
  ["/deny ABCDEF", 'deny {"id":"ABCDEF"}'],
  ["/approvals", "approvals.list"],
  ["/grants", "grants.list"],
  ["/revoke old phone", 'devices.revoke {"device":"old phone"}'],
  ["/audit", 'audit.list {"limit":15}'],
  ["/why ABCDEF", 'why {"id":"ABCDEF"}'],
  ["/memory", "memory.show"],
  ["/memory show people", 'memory.show {"file":"people"}'],
  ["/memory add Anna's\nbirthday", 'memory.add {"text":"Anna\'s birthday"}'],
  ["/memory search dentist --yes", 'memory.search {"words":"dentist --yes"}'],
  ["/memory trust ABCDEF GHJKMN", 'memory.trust {"ids":["ABCDEF","GHJKMN"]}'],
  ["/memory forget the dentist", 'memory.forget {"what":"the dentist"}'],
  ["/memory forget the dentist --yes", 'memory.forget {"what":"the dentist","yes":true}'],
  ["/memory forget ABCDEF —yes", 'memory.forget {"what":"ABCDEF","yes":true}'],
  ["/lock", "lock"],
  ["/lock laptop", "lock"],
  ["lock everything!", "lock"],
  ["/unlock", 'lock {"lift":true}'],
])("“%s” is %s", ([text, call]) => {
  expect(told(text)).toBe(call);
});

test.for([
  ...[
    "don't take a photo",
    "do not take a photo",
    "never take a photo",
    "stop taking photos",
    "I took a photo",
    "he said: take a photo",
  ],
  ...[
    "/photoo",
    "/photo_laptop",
    "//photo",
    "/ photo",
    "photo",
    "/",
    "/constructor",
    "/__proto__",
    "/toString",
  ],
  ...[
    "show me the picture",
    "send me the photo",
    "get the picture?",
    "send a picture to anna",
    "take photos",
    "give it a shot",
    "take a look",
  ],
  ...[
    "take a photo of my cat",
    "make me a shot of espresso",
    "take a picture of the laptop",
    "take a back",
  ],
  ...[
    "add a reminder to buy milk",
    "add a meeting",
    "pair my socks",
    "add new phone number for Anna",
  ],
  ...[
    "lock the door",
    "unlock",
    "unlock everything",
    "/unlock laptop",
    "allow once",
    "allow",
    "yes",
    "1",
  ],
  ...["how is it going", "how's everything", "how is the weather", "how are you"],
  ...[
    "/allow once 1h",
    "/allow 15 m",
    "/allow A B",
    "/revoke",
    "/approve",
    "/why",
    "/files",
    "/files get laptop",
    "/copy laptop a.txt",
    "/clip laptop 5m",
    "/record laptop 0s",
    "/copy laptop docs/ phone",
    "/copy laptop a.txt phone b.txt c.txt",
    "",
    "   ",
    "\n",
  ],
])("“%s” does nothing but answer", (text) => {
  expect(told(text)).toBe("-");
  expect(owner(text)).toMatchObject({ do: "say", text: expect.stringMatching(/\S/) });
});

test("an id that is none is never taken for a duration", () => {
  for (const word of ["2h", "30m", "3 days"])
    expect(owner(`/allow ${word}`)).toMatchObject({
      do: "say",
      text: expect.stringContaining("15m"),
    });
  for (const word of ["forever", "always", "15", "1", "oncee"])
    expect(owner(`/allow ${word}`)).toEqual({
      do: "operate",
      op: "allow",
      args: { for: "once", id: word },
    });
});

describe("somebody who is no owner", () => {
  const other = (text: string) => parse({ text, owner: false });

  test.for([
    ...[
      "/pair",
      "/approve X",
      "/allow",
      "/deny",
      "/revoke x",
      "/lock",
      "/unlock",
      "lock",
      "add a device",
    ],
    ...["/devices", "/status", "/approvals", "/grants", "/audit", "/why X", "show my devices"],
  ])("may not say “%s”", (text) => {
    expect(other(text)).toEqual({
      do: "say",
      text: "Only an owner can say that, in a private chat.",
    });
  });

  test("may ask for help, and for what a grant may allow", () => {
    expect(other("/help").do).toBe("say");
    expect(other("take a photo")).toMatchObject({ do: "call", cap: "camera.snap" });
  });
});

test("help names every command, and each of its forms is understood", () => {
  const help = owner("/help");
  const forms =
    help.do === "say" ? [...help.text.matchAll(/^ {2}\/([a-z]+)/gm)].map(([, verb]) => verb) : [];
  expect(forms.length).toBeGreaterThan(15);
  for (const verb of forms)
    expect(owner(`/${verb} x`)).not.toMatchObject({
      text: expect.stringContaining("There is no command"),
    });
});

test("the same words get the same answer, in any order of asking", async () => {
  const texts = [
    "take a photo from my laptop",
    "/allow 15m",
    "hello",
    "/photo front",
    "how is laptop",
  ];
  const once = texts.map(owner);
  for (const text of [...texts, ...texts.toReversed()]) owner(text);
  expect(texts.map(owner)).toEqual(once);
  expect(await commandModel.answer({ text: "/lock", owner: true })).toEqual(owner("/lock"));
});

test("every answer is plain data, so that it can be written down before it is acted on", () => {
  for (const text of [
    "/photo constructor",
    "/photo __proto__",
    "/photo toString",
    "take a photo from constructor",
    "/allow __proto__",
  ]) {
    expect(structuredClone(owner(text))).toEqual(owner(text));
  }
});

describe("hostile texts end quickly and do nothing", () => {
  const long = 65_536;
  test.for<[string, string]>([
    ["spaces", `take a photo${" ".repeat(long)}x`],
    ["pleases", `take a photo from${" please".repeat(9_000)} x`],
    ["dots", `how is ${".".repeat(long)}x`],
    ["a long device", `take a photo from ${"a ".repeat(30_000)}!x`],
    ["a long command", `/photo ${"a ".repeat(30_000)}`],
    ["a long verb", `/${"a".repeat(long)}`],
    ["get after get", `/files ${"get ".repeat(16_000)}`],
    ["commas", `please${",".repeat(long)}`],
    [
      "the same, just short enough",
      `${"please ".repeat(20)}take a photo of ${"on a on a ".repeat(9)}!`,
    ],
  ])("%s", ([, text]) => {
    const begun = performance.now();
    for (let times = 0; times < 20; times++) owner(text);
    expect(performance.now() - begun).toBeLessThan(500);
    if (text.length > 2_048) expect(told(text)).toBe("-");
  });

  test("a command may be 2,048 characters long, and no longer", () => {
    const path = (length: number) => `/files get laptop ${"a".repeat(length - 18)}`;
    expect([told(path(2_048)).slice(0, 10), told(path(2_049))]).toEqual(["files.read", "-"]);
  });

  test("a sentence may be 240 characters long, and no longer", () => {
    const text = (length: number) => `take a photo from ${"a".repeat(length - 18)}`;
    expect([told(text(240)).slice(0, 11), told(text(241))]).toEqual(["camera.snap", "-"]);
  });
});

describe("what waits", () => {
  const HOUR_MS = 3_600_000;
  const DAY_MS = 24 * HOUR_MS;

  test.for<[string, number]>([
    ["/photo laptop when online", DAY_MS],
    ["/photo laptop when it is back", DAY_MS],
    ["take a photo with my laptop when it's back", DAY_MS],
    ["take a photo with my laptop, once it comes online within 2h", 2 * HOUR_MS],
    ["take a photo with my laptop as soon as it’s there in the next 3 days.", 3 * DAY_MS],
  ])("“%s” waits for the device", ([text, deliverMs]) => {
    expect(owner(text)).toMatchObject({ do: "call", cap: "camera.snap", deliverMs });
  });

  test("“when unlocked” waits for somebody to lift the device's lock as well", () => {
    for (const text of [
      "/photo laptop when unlocked within 2h",
      "/photo laptop once it is unlocked in the next 2h",
    ])
      expect(owner(text)).toMatchObject({ do: "call", deliverMs: 2 * HOUR_MS, unlocked: true });
    expect(owner("/photo laptop when online")).not.toHaveProperty("unlocked");
  });

  test("a wait that is too long is said to be so, and what decides never waits", () => {
    expect(owner("/photo laptop when online within 8d").do).toBe("say");
    for (const text of ["/allow once when online", "/lock when it is back", "hello when online"])
      expect(owner(text).do).not.toBe("call");
  });

  test.for<[string, number, string]>([
    ["/later 1h /photo laptop", HOUR_MS, "/photo laptop"],
    ["/later 10 min take a photo with my laptop", 600_000, "take a photo with my laptop"],
    ["/later 2days /photo all", 2 * DAY_MS, "/photo all"],
    ["/later 30s /photo laptop when online", 30_000, "/photo laptop when online"],
  ])("“%s” is put off", ([text, afterMs, words]) => {
    expect(owner(text)).toEqual({ do: "later", afterMs, text: words });
  });

  test("only what a device does can be put off, for 10 seconds to 30 days", () => {
    for (const text of [
      "/later 1h /allow once",
      "/later 1h /unlock",
      "/later 1h /later 1h /photo",
      "/later 1h hello",
      "/later 9s /photo",
      "/later 31d /photo",
      "/later soon /photo",
      "/later /photo",
    ])
      expect([text, owner(text).do]).toEqual([text, "say"]);
  });

  test("what is put off is listed and taken back", () => {
    expect(owner("/later")).toEqual({ do: "put-off" });
    expect(owner("/later cancel 2")).toEqual({ do: "put-off", drop: 2 });
    expect(told("/cancel ABC123")).toBe('calls.cancel {"id":"ABC123"}');
  });
});

test("a copy says where the file goes: the device, and the name there", () => {
  const onward = (text: string) => {
    const answer = owner(text);
    return answer.do === "call" ? answer.onward : undefined;
  };
  const files = { cap: "files.write", device: "phone" };
  expect(onward("/copy laptop docs/a.txt phone")).toEqual({ ...files, args: { path: "a.txt" } });
  expect(onward('/copy laptop "my docs/a b.txt" phone new/b.txt')).toEqual({
    ...{ ...files, args: { path: "new/b.txt" } },
  });
  expect(onward("send notes.md from my laptop to phone")).toEqual({
    ...{ ...files, args: { path: "notes.md" } },
  });
});
