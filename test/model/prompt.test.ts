/** What a model is told before the conversation: it is part of every request, so it has a bound. */
import { catalogue } from "@kith/shared/capabilities/index";
import { sendTool } from "@kith/gateway/channels/send-tool";
import { memoryTools } from "@kith/gateway/memory/tools";
import { SYSTEM } from "@kith/gateway/model/assistant";
import { toolbox } from "@kith/gateway/model/tools";
import { scheduleTools } from "@kith/gateway/schedules/schedules";
import { sessionTools } from "@kith/gateway/sessions/session-tools";
import { ownSkills } from "@kith/gateway/skills/own";
import { Skills } from "@kith/gateway/skills/skills";
import { skillTools } from "@kith/gateway/skills/skill-tool";
import { webTools } from "@kith/gateway/web/tools";
import { workspaceTools } from "@kith/gateway/workspace/tools";
import { expect, test } from "vitest";
import { Desk } from "../invocations/desk.ts";

const none = {} as never;
const own = [
  ...sessionTools,
  ...memoryTools(none),
  ...skillTools(none),
  ...webTools({ search: { provider: "searxng", baseUrl: "http://127.0.0.1" } } as never),
  ...scheduleTools(none),
  ...workspaceTools("/nowhere", none),
  sendTool(none, none),
];

test("instructions and tools with 5 devices and 20 capabilities have 12,000 characters at most", () => {
  const desk = new Desk();
  for (const id of ["laptop", "phone", "desktop", "server in the cellar", "old laptop"]) {
    desk.device(id);
    desk.offers(
      id,
      ...[...catalogue.values()].map(({ name, effect, version }) => ({
        ...({ cap: name, v: version, effect, state: "ready", policy: "allow" } as const),
        ...{ foreground: false, parallel: 1, max_ms: 10_000, max_bytes: 0 },
      })),
    );
  }
  const { tools, devices } = toolbox(desk.documents, own);
  expect(devices).toHaveLength(5);
  const { documents } = desk;
  const skills = new Skills({ own: ownSkills, home: "/nowhere", documents: () => documents });
  const told = [SYSTEM, devices.join(", "), skills.prompt("main"), JSON.stringify(tools)];
  const size = told.join("").length;
  console.log(`${tools.length} tools, ${size} characters`);
  expect(size).toBeLessThanOrEqual(12_000);
});
