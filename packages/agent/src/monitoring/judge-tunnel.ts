/**
 * Whether the tunnel is up, and if not, whose trouble it is. Two vantages tell the internet from the tunnel: the hub, and
 * a name that only the outside can answer. Pure.
 */
import type { Finding, ReportedTunnel } from '@felhom/protocol';
import type { UnitState } from '../ports/host-facts.ts';
import type { IngressRule, RunningIngress } from '../ports/tunnel.ts';
import { wordsOfTries } from './decide-restart.ts';

export const tunnelUnit = 'felhom-cloudflared.service';

export interface TunnelLook {
  /** `undefined`: systemd did not tell. */
  readonly unit: UnitState | undefined;
  /** Root declared one; `undefined`: that could not be read. */
  readonly declared: boolean | undefined;
  /** Connections to the edge; `undefined`: cloudflared did not answer. */
  readonly connections: number | undefined;
  /** The hub was heard of just now, or could not be reached; `undefined`: no hub, or nobody asked lately. */
  readonly hubReached: boolean | undefined;
  /** An answer came from the resolver's outside; `undefined`: it was not asked. */
  readonly namesResolve: boolean | undefined;
}

type Verdict = { readonly is: ReportedTunnel['is']; readonly why: string };

export function judgeTunnel(look: TunnelLook): Verdict {
  const { unit, connections } = look;
  if (unit === undefined) return { is: 'unknown', why: 'systemd does not tell how the tunnel is' };
  if (unit.load !== 'loaded') return { is: 'none', why: '' };
  const off = unit.active === 'inactive' && (look.declared === false || !unit.file.startsWith('enabled'));
  if (off) return { is: 'none', why: '' };
  if (connections !== undefined && connections > 0) return { is: 'up', why: '' };
  if (unit.active === 'failed' || unit.active === 'inactive') return { is: 'down', why: endOf(unit) };
  // The hub alone may be down itself; the resolver alone may answer from what it remembers. Either of them is proof
  // enough that something outside answers, and only both together that nothing does.
  if (look.hubReached === true || look.namesResolve === true)
    return connections === undefined && unit.active !== 'activating'
      ? { is: 'unknown', why: 'cloudflared does not answer on its own port' }
      : { is: 'down', why: 'cloudflared gets no connection to the edge, while the internet is there' };
  if (look.namesResolve === false)
    return {
      is: 'no-internet',
      why: look.hubReached === false ? 'neither the hub nor a name is answered' : 'no name is answered',
    };
  return { is: 'unknown', why: 'cloudflared has no connection, and whether the internet is there is not known' };
}

function endOf({ active, result }: UnitState): string {
  if (result === 'start-limit-hit') return 'cloudflared ended too often, and systemd gave up starting it';
  return active === 'failed' ? `cloudflared failed (${result})`.slice(0, 200) : 'cloudflared was stopped';
}

/** What was shown last, and what was seen instead of it since. */
export interface TunnelMemory {
  readonly shown: ReportedTunnel;
  /** The verdict that is not shown yet: it has to be seen twice in a row. */
  readonly turning: ReportedTunnel['is'] | undefined;
}

const notYet = 'not looked at yet';

export const noTunnelMemory: TunnelMemory = {
  shown: { is: 'unknown', why: notYet },
  turning: undefined,
};

/** A reconnect takes a moment: anything but good news counts from the second look on. */
export function showTunnel(verdict: Verdict, { shown, turning }: TunnelMemory, now: number): TunnelMemory {
  const { is, why } = verdict;
  if (is === shown.is) return { shown: 'why' in shown ? { ...shown, why } : shown, turning: undefined };
  const first = shown.is === 'unknown' && shown.why === notYet;
  const atOnce = is === 'up' || is === 'none' || first;
  if (!atOnce && turning !== is) return { shown, turning: is };
  if (is === 'none') return { shown: { is }, turning: undefined };
  if (is === 'unknown') return { shown: { is, why }, turning: undefined };
  return { shown: is === 'up' ? { is, since: now } : { is, since: now, why }, turning: undefined };
}

/** `restarts`: by the agent, since it was last well. */
export function findingsOfTunnel(shown: ReportedTunnel, now: number, restarts = 0): readonly Finding[] {
  const about = { subject: 'tunnel' } as const;
  const command = `systemctl status ${tunnelUnit}`;
  switch (shown.is) {
    case 'none':
    case 'up':
      return [];
    case 'down':
      return [
        {
          ...about,
          key: 'tunnel.down',
          severity: 'critical',
          text: `The tunnel is down, so nobody gets to the guests from outside: ${shown.why}.${wordsOfTries(restarts)}`,
          advice: { text: 'Look at its log; is it not a passing trouble of the edge, start it again.', command },
          since: shown.since,
        },
      ];
    case 'no-internet':
      return [
        {
          ...about,
          key: 'host.no-internet',
          severity: 'critical',
          text: `This host does not reach the internet: ${shown.why}. The tunnel waits for it.`,
          advice: { text: 'Look at the router and the line; nothing on this host needs to be done.' },
          since: shown.since,
        },
      ];
    case 'unknown':
      return shown.why === notYet
        ? []
        : [
            {
              ...about,
              key: 'tunnel.unknown',
              severity: 'warning',
              text: `Whether the tunnel is up is not known: ${shown.why}.${wordsOfTries(restarts)}`,
              advice: { text: 'See what systemd says of it.', command },
              since: now,
            },
          ];
  }
}

/**
 * The edge can push an ingress at any time, and cloudflared obeys [R9]: what runs is compared with what root declared.
 * The fence of its unit holds whatever it obeys.
 */
export function judgeIngress(
  declared: readonly IngressRule[],
  running: RunningIngress,
  now: number,
): readonly Finding[] {
  const known = new Set(declared.map(textOf));
  const foreign = running.rules.map(textOf).filter((rule) => !known.has(rule));
  const runs = new Set(running.rules.map(textOf));
  const missing = declared.map(textOf).filter((rule) => !runs.has(rule));
  if (foreign.length === 0 && missing.length === 0 && !running.privateNetworks) return [];
  const text = [
    ...(foreign.length === 0 ? [] : [`it also lets in ${few(foreign)}`]),
    ...(missing.length === 0 ? [] : [`it does not let in ${few(missing)}`]),
    ...(running.privateNetworks ? ['it routes whole networks'] : []),
  ].join('; ');
  return [
    {
      key: 'tunnel.ingress-differs',
      severity: foreign.length > 0 || running.privateNetworks ? 'critical' : 'warning',
      subject: 'tunnel',
      text: `The tunnel does not do what was declared on this host: ${text}.`.slice(0, 1000),
      advice: {
        text: 'Somebody changed it at the edge. Find out who; the fence of its unit keeps host and LAN out of reach.',
      },
      since: now,
    },
  ];
}

const textOf = ({ hostname, path, service }: IngressRule): string =>
  `${hostname === '' ? '*' : hostname.toLowerCase()}${path} → ${service}`.slice(0, 200);

const few = (rules: readonly string[]): string =>
  rules.length <= 3 ? rules.join(', ') : `${rules.slice(0, 3).join(', ')} and ${rules.length - 3} more`;
