/**
 * Break-glass as texts: what systemd, sshd, cloudflared and nftables are told. Pure. Everything lies below /run, so a
 * reboot leaves nothing of it; everything that is put into a text was checked against a pattern that has no line end, no
 * quote and no blank in it.
 */
import { parsePublicKey } from '@felhom/protocol';
import { z } from 'zod';

export const unitNames = {
  tunnel: 'felhom-break-glass-tunnel.service',
  sshd: 'felhom-break-glass-sshd.service',
  timer: 'felhom-break-glass-close.timer',
  close: 'felhom-break-glass-close.service',
} as const;

/** Absolute, without `.` or `..` as a part. */
const path = z.string().regex(/^(?=.{2,200}$)(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/, 'an absolute plain path');
const hostname = z
  .string()
  .regex(/^(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/, 'a host name in lower case');

/** `/etc/felhom/break-glass.json`, owned and written by root. No file: break-glass is off on this host. */
export const breakGlassSettings = z.strictObject({
  v: z.literal(1),
  /** Loopback port of the extra sshd; nothing else may use it. */
  port: z.number().int().min(1024).max(65_535).default(52_022),
  tunnel: z.strictObject({
    /** A tunnel of its own: never the one that serves the guests [R9]. */
    id: z.string().regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'the id of a tunnel'),
    hostname,
    credentialsFile: path,
  }),
  cloudflared: path.default('/usr/bin/cloudflared'),
});
export type BreakGlassSettings = z.output<typeof breakGlassSettings>;

const order = z.strictObject({
  minutes: z.number().int().min(1).max(480),
  key: z
    .string()
    .max(400)
    .refine((line) => parsePublicKey(line)?.line === line, 'an ssh-ed25519 or sk-ssh-ed25519 key without comment'),
  /** When the key stops being taken, milliseconds since the epoch. */
  until: z.number().int().min(0).max(253_402_300_799_000),
  settings: breakGlassSettings,
  /** Where files lie: `/run/felhom-break-glass` and `/run/systemd/system`, except in tests. */
  runDirectory: path,
  unitDirectory: path,
});
export type BreakGlassOrder = z.input<typeof order>;

export interface BreakGlassTexts {
  /** By unit name; for `unitDirectory`. */
  readonly units: Readonly<Record<(typeof unitNames)[keyof typeof unitNames], string>>;
  /** By file name; for `runDirectory`, for root's eyes only. */
  readonly files: Readonly<Record<'sshd_config' | 'authorized_keys' | 'ingress.yml' | 'nftables.conf', string>>;
}

/** Throws for anything that a text must not hold. */
export function breakGlassUnits(given: BreakGlassOrder): BreakGlassTexts {
  const checked = order.parse(given);
  return {
    units: {
      [unitNames.timer]: timer(checked),
      [unitNames.close]: close(checked),
      [unitNames.sshd]: sshd(checked),
      [unitNames.tunnel]: tunnel(checked),
    },
    files: {
      sshd_config: sshdConfig(checked),
      authorized_keys: authorizedKeys(checked),
      'ingress.yml': ingress(checked),
      'nftables.conf': nftables(checked),
    },
  };
}

type Checked = z.output<typeof order>;

const text = (...lines: readonly string[]): string => `${lines.join('\n')}\n`;

/** Monotonic, from the moment it is started: no clock that somebody sets makes it longer. */
const timer = ({ minutes }: Checked): string =>
  text(
    '[Unit]',
    'Description=Felhom break-glass: closes it when its time is over',
    '',
    '[Timer]',
    `OnActiveSec=${minutes * 60}s`,
    'AccuracySec=1s',
    // Once it has fired it is gone, and with it what is bound to it.
    'RemainAfterElapse=no',
    `Unit=${unitNames.close}`,
  );

/** Needs nothing of the agent: systemctl and rm are all it runs. */
const close = ({ runDirectory, unitDirectory }: Checked): string =>
  text(
    '[Unit]',
    'Description=Felhom break-glass: closing',
    '',
    '[Service]',
    'Type=oneshot',
    `ExecStart=-/usr/bin/systemctl stop ${unitNames.tunnel} ${unitNames.sshd}`,
    `ExecStart=-/usr/bin/systemctl stop ${unitNames.timer}`,
    `ExecStart=/usr/bin/rm -rf -- ${runDirectory}`,
    `ExecStart=/usr/bin/rm -f -- ${Object.values(unitNames)
      .map((name) => `${unitDirectory}/${name}`)
      .join(' ')}`,
    'ExecStart=-/usr/bin/systemctl --no-block daemon-reload',
  );

const sshd = ({ minutes, runDirectory }: Checked): string =>
  text(
    '[Unit]',
    'Description=Felhom break-glass: SSH on loopback for one key',
    // Without its timer it does not run, whoever stopped that.
    `BindsTo=${unitNames.timer}`,
    `After=${unitNames.timer}`,
    '',
    '[Service]',
    'Type=notify',
    `ExecStart=/usr/sbin/sshd -D -e -f ${runDirectory}/sshd_config`,
    'RuntimeDirectory=sshd',
    'RuntimeDirectoryMode=0755',
    'RuntimeDirectoryPreserve=yes',
    // Sessions are in this control group (no PAM, so no scope of their own) and end with it.
    'KillMode=control-group',
    'TimeoutStartSec=20s',
    'TimeoutStopSec=10s',
    'Restart=no',
    // A bound of its own, a moment behind the timer, should that be lost.
    `RuntimeMaxSec=${minutes * 60 + 30}s`,
  );

/** No restart: a tunnel that ends is closed, and the operator opens another. */
const tunnel = ({ minutes, runDirectory, settings }: Checked): string =>
  text(
    '[Unit]',
    'Description=Felhom break-glass: tunnel to SSH on loopback',
    `BindsTo=${unitNames.sshd}`,
    `After=${unitNames.sshd} network-online.target`,
    '',
    '[Service]',
    'Type=notify',
    `ExecStartPre=+/usr/sbin/nft -f ${runDirectory}/nftables.conf`,
    `ExecStart=${settings.cloudflared} tunnel --no-autoupdate --config %d/ingress run --credentials-file %d/tunnel ${settings.tunnel.id}`,
    `ExecStopPost=-+/usr/sbin/nft delete table inet ${table}`,
    `LoadCredential=ingress:${runDirectory}/ingress.yml`,
    `LoadCredential=tunnel:${settings.tunnel.credentialsFile}`,
    'TimeoutStartSec=60s',
    'TimeoutStopSec=10s',
    'Restart=no',
    `RuntimeMaxSec=${minutes * 60 + 30}s`,
    'DynamicUser=yes',
    'NoNewPrivileges=yes',
    'CapabilityBoundingSet=',
    'AmbientCapabilities=',
    'ProtectSystem=strict',
    'ProtectHome=yes',
    'PrivateTmp=yes',
    'PrivateDevices=yes',
    'PrivateUsers=yes',
    'ProtectKernelTunables=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelLogs=yes',
    'ProtectControlGroups=yes',
    'ProtectClock=yes',
    'ProtectHostname=yes',
    'ProtectProc=invisible',
    'ProcSubset=pid',
    'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK',
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'LockPersonality=yes',
    'MemoryDenyWriteExecute=yes',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallFilter=~@privileged @resources',
    'UMask=0077',
    'TasksMax=64',
    'MemoryMax=256M',
  );

/**
 * A second sshd beside the host's own: one key, no passwords, no forwarding of anything. Without PAM a session belongs to
 * the control group of its unit and ends with it.
 */
const sshdConfig = ({ runDirectory, settings }: Checked): string =>
  text(
    'AddressFamily inet',
    `ListenAddress 127.0.0.1:${settings.port}`,
    // The host's own key, which an operator can have written down long before.
    'HostKey /etc/ssh/ssh_host_ed25519_key',
    'PidFile none',
    'LogLevel VERBOSE',
    'AllowUsers root',
    'PermitRootLogin prohibit-password',
    `AuthorizedKeysFile ${runDirectory}/authorized_keys`,
    'AuthenticationMethods publickey',
    'PubkeyAuthentication yes',
    'PubkeyAcceptedAlgorithms ssh-ed25519,sk-ssh-ed25519@openssh.com',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'HostbasedAuthentication no',
    'PermitEmptyPasswords no',
    'UsePAM no',
    'StrictModes yes',
    'DisableForwarding yes',
    'AllowTcpForwarding no',
    'AllowStreamLocalForwarding no',
    'AllowAgentForwarding no',
    'X11Forwarding no',
    'GatewayPorts no',
    'PermitTunnel no',
    'PermitUserEnvironment no',
    'PermitUserRC no',
    'ForceCommand none',
    'LoginGraceTime 30',
    'MaxAuthTries 3',
    'MaxStartups 3',
    'MaxSessions 4',
    'ClientAliveInterval 30',
    'ClientAliveCountMax 3',
  );

/** `expiry-time` is a second bound, on the wall clock: a key that is copied elsewhere is worth nothing afterwards. */
const authorizedKeys = ({ key, until }: Checked): string => {
  const expiry = `${new Date(until).toISOString().replace(/\D/g, '').slice(0, 14)}Z`;
  return text(`restrict,pty,expiry-time="${expiry}" ${key}`);
};

const ingress = ({ settings }: Checked): string =>
  text(
    `tunnel: ${settings.tunnel.id}`,
    'warp-routing:',
    '  enabled: false',
    'ingress:',
    `  - hostname: ${settings.tunnel.hostname}`,
    `    service: ssh://127.0.0.1:${settings.port}`,
    '  - service: http_status:404',
  );

const table = 'felhom_break_glass';

/**
 * Whatever ingress the edge pushes (cloudflared prefers that to a local one), the tunnel reaches the extra sshd, a name
 * server and port 7844 of the internet, which is where Cloudflare's edge listens; not the API of Proxmox, not the host's
 * own sshd, not the LAN. Filtered by port, because addresses alone cannot tell one service of the host from another.
 */
const nftables = ({ settings }: Checked): string =>
  text(
    `add table inet ${table}`,
    `delete table inet ${table}`,
    `table inet ${table} {`,
    '  chain output {',
    '    type filter hook output priority filter; policy accept;',
    `    socket cgroupv2 level 2 "system.slice/${unitNames.tunnel}" jump tunnel`,
    '  }',
    '  chain tunnel {',
    `    ip daddr 127.0.0.1 tcp dport ${settings.port} accept`,
    '    meta l4proto { tcp, udp } th dport 53 accept',
    '    oifname "lo" reject',
    '    ip daddr { 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/3 } reject',
    '    ip6 daddr { ::1, fc00::/7, fe80::/10, ff00::/8 } reject',
    '    meta l4proto { tcp, udp } th dport 7844 accept',
    '    reject',
    '  }',
    '}',
  );
