/** The node that recordings are replayed against: in memory, with simulated time, as small as the recorded machine. */
import { benchTraits, hostActions, type HostActions } from '../fake-pve/guests/index.ts';
import { createFakePve, type FakeNode } from '../fake-pve/node.ts';
import { MemoryDisk, type Storage } from '../fake-pve/storage/index.ts';
import { seedToken } from './seed.ts';
import { createSimClock, type SimClock } from '../simulation/sim-clock.ts';

export interface Bench {
  readonly clock: SimClock;
  readonly node: FakeNode<Storage>;
  readonly host: HostActions;
  /** Headers that prove who calls; users and tokens that nobody has set up yet appear with their usual rights. */
  credentials(as: string, method: string, given: Readonly<Record<string, string>>): Record<string, string>;
  /** Every UPID that a recorded call was answered with. */
  readonly startedUpids: Set<string>;
  /** Guests of which only a row of a list is known so far. */
  readonly sketched: Set<number>;
  /** Host changes that last only for the next task. */
  readonly undo: (() => void)[];
}

/** `startAt`: when the recordings begin, milliseconds since the epoch. */
export function createBench(startAt: number): Bench {
  const clock = createSimClock(startAt);
  const random = seeded(42);
  const quick = { restoreMs: 1, startMs: 1, stopMs: 1, allocateMs: 1, backupMs: 1 };
  const node = createFakePve({
    clock,
    random,
    pace: quick,
    uptimeMs: 1_500_000,
    disk: new MemoryDisk(() => Math.floor(clock.now() / 1000)),
    traits: benchTraits,
  });
  return {
    clock,
    node,
    host: hostActions(node, node.tasks),
    undo: [],
    sketched: new Set(),
    startedUpids: new Set(),
    credentials(as, method, given) {
      if (given['authorization'] !== undefined) return { authorization: given['authorization'] };
      if (given['cookie'] !== undefined || as === 'root@pam') return ticketHeaders(node, given);
      const [user = '', token] = as.split('!');
      if (token === undefined) return {};
      seedToken(node, as);
      const secret = node.access.config.users.get(user)?.tokens.get(token)?.secret ?? '';
      return { authorization: `PVEAPIToken=${as}=${secret}` };
    },
  };
}

function ticketHeaders(node: FakeNode<Storage>, given: Readonly<Record<string, string>>): Record<string, string> {
  if (given['cookie'] !== undefined && given['cookie'] !== '<redacted>') return { cookie: given['cookie'] };
  const { ticket, csrf } = node.access.issueTicket('root@pam');
  const cookie = `PVEAuthCookie=${encodeURIComponent(ticket)}`;
  // A recorded cookie comes with the CSRF token that was recorded, if any.
  const asRecorded = given['csrfpreventiontoken'];
  if (given['cookie'] !== undefined)
    return asRecorded === undefined ? { cookie } : { cookie, csrfpreventiontoken: asRecorded };
  return { cookie, csrfpreventiontoken: csrf };
}

/** A small linear congruential generator: the same replay every time. */
function seeded(seed: number): { int(below: number): number } {
  let state = seed;
  return {
    int(below) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    },
  };
}
