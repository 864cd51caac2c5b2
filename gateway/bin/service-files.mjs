// @ts-check
/**
 * What a system keeps of a program that it starts at login: a systemd unit, a launchd agent, a task
 * of Windows. Pure text; service.mjs puts it where it belongs.
 *
 * @typedef {{ argv: string[], home: string, label?: string }} Program `argv`: absolute paths; `home`: KITH_HOME.
 */

/** What is started: the gateway with this computer's device, or a device alone. */
export const SERVICES = {
  gateway: { name: "kith", label: "dev.kith.gateway", verb: "up" },
  node: { name: "kith-node", label: "dev.kith.node", verb: "node" },
};

/** Exit codes that starting again would not change; see gateway/src/main.ts. */
const HOPELESS = "75 78";

/** A percent sign, a dollar or a quote in a path is none of systemd's own. @param {string} text */
const quoted = (text) =>
  `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%").replaceAll("$", "$$$$")}"`;

/** For the user's own manager. Its journal keeps and rotates what is printed. @param {Program} program */
export const systemdUnit = ({ argv, home }) => `[Unit]
Description=Kith, an assistant on your own machines
After=network.target

[Service]
ExecStart=${argv.map(quoted).join(" ")}
Environment=${quoted(`KITH_HOME=${home}`)}
StandardInput=null
UMask=0077
Restart=always
RestartSec=100ms
RestartPreventExitStatus=${HOPELESS}
TimeoutStopSec=10s

[Install]
WantedBy=default.target
`;

/** @param {string} text */
const xml = (text) =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");

/** For the user's own domain. The gateway's own log rotates, so nothing else is kept. @param {Program} program */
export const launchAgent = ({
  argv,
  home,
  label = SERVICES.gateway.label,
}) => `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>${label}</string>
  <key>ProgramArguments</key>
  <array>
${argv.map((arg) => `    <string>${xml(arg)}</string>`).join("\n")}
  </array>
  <key>EnvironmentVariables</key>
  <dict><key>KITH_HOME</key><string>${xml(home)}</string></dict>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><true/>
  <key>ThrottleInterval</key><integer>1</integer>
  <key>Umask</key><integer>63</integer>
  <key>StandardInPath</key><string>/dev/null</string>
  <key>StandardOutPath</key><string>/dev/null</string>
  <key>StandardErrorPath</key><string>/dev/null</string>
</dict>
</plist>
`;

/**
 * At the user's own logon, with no more rights than the user has. Windows gives a task no
 * environment, so the home is an argument of \`cmd\`'s. @param {Program} program
 */
export const windowsTask = ({ argv, home }) => `<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>Kith, an assistant on your own machines</Description></RegistrationInfo>
  <Triggers><LogonTrigger><Enabled>true</Enabled></LogonTrigger></Triggers>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure><Interval>PT1M</Interval><Count>255</Count></RestartOnFailure>
  </Settings>
  <Actions>
    <Exec>
      <Command>cmd.exe</Command>
      <Arguments>${xml(`/d /s /c "set "KITH_HOME=${home}" && ${argv.map((arg) => `"${arg}"`).join(" ")} < NUL"`)}</Arguments>
    </Exec>
  </Actions>
</Task>
`;
