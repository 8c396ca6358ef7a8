/** Of the host itself: its clock, Proxmox's services, a restart that is due, the token's life, and the tunnel's fence. */
import { BlockList, isIPv6 } from 'node:net';
import { isDown, proxmoxServices, tunnelUnit } from '../monitoring/index.ts';
import type { Fence, HostFacts, NodeLogin } from '../ports/host-facts.ts';
import type { CheckResult } from './index.ts';

interface HostNeeds {
  readonly clock: { now(): number };
  readonly login: NodeLogin;
  readonly host: HostFacts | undefined;
}

export async function checkHostItself({ clock, login, host }: HostNeeds, signal: AbortSignal): Promise<CheckResult[]> {
  const parts = await Promise.all([
    checkToken(login, clock.now(), signal),
    ...(host === undefined
      ? []
      : [checkSync(host, signal), checkServices(host, signal), checkRestart(host, signal), checkFence(host, signal)]),
  ]);
  return parts.flat();
}

const skipped = (check: string, text: string): CheckResult => ({ check, verdict: 'skipped', text });

async function checkSync(host: HostFacts, signal: AbortSignal): Promise<CheckResult[]> {
  const check = 'time synchronisation';
  const set = await host.clockSynchronised(signal);
  if (set.is !== 'done') return [skipped(check, set.why.text)];
  if (set.value) return [{ check, verdict: 'ok', text: 'the clock is synchronised' }];
  const text = 'the clock is not synchronised; signatures and certificates go by it';
  return [{ check, verdict: 'warning', text, advice: 'see whether a time server answers: chronyc tracking' }];
}

async function checkServices(host: HostFacts, signal: AbortSignal): Promise<CheckResult[]> {
  const check = 'services of Proxmox';
  const units = await host.units(proxmoxServices, signal);
  if (units.is !== 'done') return [skipped(check, units.why.text)];
  const down = units.value.filter((unit) => isDown(unit) === 1).map(({ unit }) => unit);
  if (down.length === 0) return [{ check, verdict: 'ok', text: 'all that are turned on run' }];
  const text = `${down.join(', ')} ${down.length === 1 ? 'does' : 'do'} not run`;
  return [{ check, verdict: 'failed', text, advice: `see why: systemctl status ${down.join(' ')}` }];
}

async function checkRestart(host: HostFacts, signal: AbortSignal): Promise<CheckResult[]> {
  const check = 'restart';
  const pending = await host.rebootPending(signal);
  if (pending.is !== 'done') return [skipped(check, pending.why.text)];
  if (pending.value === undefined) return [{ check, verdict: 'ok', text: 'none is due' }];
  return [
    { check, verdict: 'warning', text: `one is due: ${pending.value}`, advice: 'restart the host when it suits' },
  ];
}

async function checkToken(login: NodeLogin, now: number, signal: AbortSignal): Promise<CheckResult[]> {
  const check = 'life of the token';
  const life = await login.tokenLife(signal);
  if (life.is !== 'done') return [skipped(check, life.why.text)];
  const { told, endsAtSeconds } = life.value;
  if (!told)
    return [skipped(check, 'Proxmox does not tell the token when it ends; root sees it: pveum user token list USER')];
  if (endsAtSeconds === undefined) return [{ check, verdict: 'ok', text: 'it never ends' }];
  const days = Math.floor((endsAtSeconds * 1000 - now) / 86_400_000);
  const text = `it ends in ${days} days`;
  if (days > 30) return [{ check, verdict: 'ok', text }];
  return [{ check, verdict: 'warning', text, advice: 'give it a longer life: pveum user token modify' }];
}

async function checkFence(host: HostFacts, signal: AbortSignal): Promise<CheckResult[]> {
  const units = await host.units([tunnelUnit], signal);
  if (units.is !== 'done' || units.value[0]?.load !== 'loaded' || units.value[0].active === 'inactive') return [];
  const fence = await host.fence(tunnelUnit, signal);
  return [fence.is === 'done' ? judgeFence(fence.value) : skipped('fence of the tunnel', fence.why.text)];
}

/**
 * Whether guests and host can be told apart by address, which is all that a unit's fence goes by [R9]. Pure. Loopback is
 * allowed for the port of its metrics; what else listens there is kept out by port.
 */
export function judgeFence({ allowed, own }: Fence): CheckResult {
  const check = 'fence of the tunnel';
  const advice = 'name each guest by its address: see The tunnel in docs/operations.md';
  if (allowed.length === 0) return { check, verdict: 'failed', text: 'the tunnel may reach every address', advice };
  const open = allowed.flatMap((network) =>
    own.filter((address) => holds(network, address)).map((address) => ({ network, address })),
  );
  if (open.length > 0) {
    const list = open.map(({ network, address }) => `${address} (in ${network})`).join(', ');
    const text = `host and guests cannot be told apart by address: the tunnel may reach this host at ${list}`;
    return { check, verdict: 'failed', text, advice };
  }
  const wide = allowed.filter(isWholeNetwork);
  if (wide.length > 0)
    return { check, verdict: 'warning', text: `the tunnel may reach whole networks: ${wide.join(', ')}`, advice };
  return { check, verdict: 'ok', text: 'the tunnel reaches the edge and what is named by address, and not this host' };
}

function holds(network: string, address: string): boolean {
  const [base = '', length = ''] = network.split('/');
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  if (isIPv6(base) !== isIPv6(address)) return false;
  const list = new BlockList();
  list.addSubnet(base, length === '' ? (family === 'ipv6' ? 128 : 32) : Number(length), family);
  return list.check(address, family);
}

/** Of somebody's own: the edge's networks are public ones. */
const privateNetworks = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16', 'fc00::/7', 'fe80::/10'];

function isWholeNetwork(network: string): boolean {
  const [base = '', length] = network.split('/');
  const single = length === undefined || length === (isIPv6(base) ? '128' : '32');
  return !single && (length === '0' || privateNetworks.some((own) => holds(own, base)));
}
