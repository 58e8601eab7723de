export const serviceUser = 'dcs-io';
/** Groups that open hardware on the usual systems; a unit may only name those that exist. */
export const hardwareGroups = ['gpio', 'dialout', 'i2c'] as const;

/** The systemd unit of the agent. `program` is the command line that starts dcs-io, absolute paths. */
export function unitText(program: readonly string[], groups: readonly string[]): string {
  const command = [...program, 'run', '--config', '/etc/dcs-io/dcs-io.yaml'].map(quoted).join(' ');
  return `# Written by dcs-io service install, which writes it anew; own settings: systemctl edit dcs-io
[Unit]
Description=dcs-io, hardware I/O agent
Documentation=man:dcs-io(1)
# Not after the network: the hardware needs none, and links to other machines come up by themselves.
After=systemd-udevd.service

[Service]
Type=notify
ExecStart=${command}
Restart=always
RestartSec=1
WatchdogSec=10
# The guardian outlives a crash, keeps the outputs safe and hands them to the next life.
KillMode=process
RuntimeDirectory=dcs-io
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
StateDirectory=dcs-io
StateDirectoryMode=0750

User=${serviceUser}
Group=${serviceUser}
${groups.length > 0 ? `SupplementaryGroups=${groups.join(' ')}\n` : ''}UMask=0027
CapabilityBoundingSet=
NoNewPrivileges=yes
# Devices are opened by their groups: PrivateDevices, DevicePolicy and ProtectClock (which implies one) would close them.
# /sys stays writable for PWM and lights, so no ProtectKernelTunables; the JavaScript engine makes code at run time, so no
# MemoryDenyWriteExecute.
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`;
}

/** A word of a command line as systemd reads it. */
function quoted(word: string): string {
  const text = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
