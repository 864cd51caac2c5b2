import { formatInvitation, isInvitation, readInvitation } from "@kith/shared/protocol/invitation";
import { KithError } from "@kith/shared/errors";
import { expect, test } from "vitest";

const whole = {
  gateway: new Uint8Array(32).fill(7),
  ticket: new Uint8Array(10).fill(9),
  addresses: ["192.168.1.10:5484", "[fd00::2]:5484"],
  caps: ["camera.snap", "x.kettle"],
};
const link = formatInvitation(whole);

test("a link says what it was made of", () => {
  expect(readInvitation(link)).toEqual(whole);
  expect(readInvitation(formatInvitation({ ...whole, caps: [] })).caps).toEqual([]);
  expect([link, "kith://pair", "camera.snap"].map(isInvitation)).toEqual([true, false, false]);
});

test("a field that a later version adds is passed over", () => {
  expect(readInvitation(`${link}&z=1`)).toEqual(whole);
});

test.for([
  ["no link", "https://example.org/#g=1"],
  ["a field twice", `${link}&t=AAAAAAAAAAAAAAAA`],
  ["a field without a name", `${link}&=1`],
  ["no key", link.replace(/g=[0-9a-f]+/, "g=")],
  ["a short key", link.replace(/g=../, "g=")],
  ["no ticket", link.replace(/t=\w+/, "t=")],
  ["no address", link.replace(/e=[^&]+/, "e=")],
  ["nine addresses", link.replace(/e=[^&]+/, `e=${Array(9).fill("a:1").join(",")}`)],
  ["a capability with a control character", `${link}%`.replace("camera.snap", "camera\u0007")],
  ["more than 64 capabilities", link.replace(/c=.+/, `c=${Array(65).fill("a").join(",")}`)],
  ["no end", `${link}&z=${"1".repeat(4_096)}`],
])("%s is refused", ([, text = ""]) => {
  expect(() => readInvitation(text)).toThrow(KithError);
});
