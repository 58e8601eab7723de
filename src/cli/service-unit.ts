export const serviceUser = 'dcs-io';
/** Groups that open hardware on the usual systems. */
export const hardwareGroups = ['gpio', 'pwm', 'dialout', 'i2c'] as const;

/** What differs from one installation to the next. */
export interface UnitFacts {
  /** The command line that starts dcs-io, absolute paths. */
  readonly program: readonly string[];
  /** First line of the unit: where it comes from. */
  readonly origin: string;
  /** The agent can tell systemd of its start and its life, which needs npm koffi. */
  readonly notifies: boolean;
}

/** The systemd unit of the agent. */
export function unitText({ program, origin, notifies }: UnitFacts): string {
  const command = [...program, 'run', '--config', '/etc/dcs-io/dcs-io.yaml'].map(quoted).join(' ');
  return `# ${origin}; own settings: systemctl edit dcs-io
[Unit]
Description=dcs-io, hardware I/O agent
Documentation=man:dcs-io(1)
# Not after the network: the hardware needs none, and links to other machines come up by themselves.
After=systemd-udevd.service
# Never given up: what keeps it from starting now may be gone in a minute, and nobody is there at night.
StartLimitIntervalSec=0

[Service]
Type=${notifies ? 'notify' : 'exec'}
ExecStart=${command}
Restart=always
RestartSec=1
# But a configuration that is wrong (2) is for a person to mend.
RestartPreventExitStatus=2
${notifies ? 'WatchdogSec=10\n' : ''}# It stops within 2 s, or it hangs.
TimeoutStopSec=10
# The guardian outlives a crash and a stop, holds the outputs and hands them to the next life: no relay moves at a restart.
KillMode=process
RuntimeDirectory=dcs-io
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
StateDirectory=dcs-io
StateDirectoryMode=0750

# With the groups that /etc/group gives this user, which open the hardware.
User=${serviceUser}
Group=${serviceUser}
UMask=0027
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

/** The user of the service, for systemd-sysusers; a member of `groups`, each of which it would make where it is missing. */
export function usersText(groups: readonly string[]): string {
  const member = groups.map((group) => `m ${serviceUser} ${group}\n`);
  return `u ${serviceUser} - "dcs-io agent" /var/lib/dcs-io\n${member.join('')}`;
}

/** A word of a command line as systemd reads it. */
function quoted(word: string): string {
  const text = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
