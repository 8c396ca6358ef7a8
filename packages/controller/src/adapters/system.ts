/** The clock, randomness and network of a real guest. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { Clock, Random } from '../ports.ts';

/** The longest that Node's timers take. */
const longestTimer = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => wait(Math.min(Math.max(0, ms), longestTimer), undefined, { signal }),
};

export const systemRandom: Random = { bytes: (count) => randomBytes(count) };

/** The address of the default gateway, which is the host's bridge where the host routes for its guests. */
export function defaultGateway(routeFile = '/proc/net/route'): string | undefined {
  let text: string;
  try {
    text = readFileSync(routeFile, 'latin1');
  } catch {
    return undefined;
  }
  return gatewayIn(text);
}

/** Pure. Columns Iface, Destination, Gateway, Flags …; addresses in hex, least significant byte first (proc(5)). */
export function gatewayIn(text: string): string | undefined {
  for (const line of text.split('\n').slice(1)) {
    const [, destination, gateway = ''] = line.split('\t');
    if (destination !== '00000000' || !/^[0-9A-F]{8}$/.test(gateway) || gateway === '00000000') continue;
    return [6, 4, 2, 0].map((at) => Number.parseInt(gateway.slice(at, at + 2), 16)).join('.');
  }
  return undefined;
}
