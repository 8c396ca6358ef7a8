/** Sets up a host for one trick. Every trick gets its own, made from the same seed. */
import { createSshKeygenVerifier, systemClock } from '@felhom/agent';
import type { GuestRecord, SignatureVerifier } from '@felhom/agent';
import type { Digest, GuestName } from '@felhom/protocol';
import type { SimClock } from '../simulation/sim-clock.ts';
import { createSimRandom } from '../simulation/sim-random.ts';
import { labGuest } from '../world/desired.ts';
import { addNeighbour } from '../world/neighbour.ts';
import { createOperator, createOperators } from '../world/operators.ts';
import { labPeople } from '../world/people.ts';
import { simVerifier } from '../world/sim-verifier.ts';
import { createSimWorld } from '../world/sim-world.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { rangeOf } from '../world/traces.ts';
import { minute } from './trick.ts';
import type { Cast, Target, Trick } from './trick.ts';

const seed = 36;
/** Short, so that a removal that began by mistake would be through within the trick. */
const removal = { coolOffMinutes: 0.1, quarantineHours: 0.1 / 60 };

/** Keys of everybody, as the world of this seed makes them. */
export function castOf(): Cast {
  const random = createSimRandom(seed).fork('people');
  const people = createOperators(labPeople, random);
  const key: Cast['key'] = (principal, which) => createOperator(principal, random.fork(`${principal} ${which}`));
  return { ...people, mallory: key('mallory', 'only'), key };
}

/** `folder`: for the nameless files that the real `ssh-keygen` reads; made and removed by the caller. */
export async function setUp(trick: Pick<Trick, 'host' | 'real'>, folder: string): Promise<Target> {
  const cast = castOf();
  const { policy, ...options } = trick.host?.(cast) ?? {};
  const real = createSshKeygenVerifier({ directory: folder, clock: systemClock() });
  const verifierIn = (clock: SimClock): SignatureVerifier =>
    trick.real === true ? { verify: (question, signal) => clock.io(real.verify(question, signal)) } : simVerifier();
  const world = await createSimWorld({
    seed,
    guestRange: 6,
    ...options,
    policy: { removal, ...policy },
    verifier: verifierIn,
  });
  const theirs = rangeOf(world)[4];
  if (theirs === undefined) throw new Error('cannot set up: the range of VMIDs is too small');
  await addNeighbour(world, theirs);
  world.hub.publish([labGuest('web'), labGuest('photos')]);
  world.boot();
  const target = targetOn(world, cast, theirs, verifierIn(world.clock));
  await target.byHand('POST', `/nodes/${world.node.name}/lxc/${theirs}/status/start`, {});
  await target.reach('both guests run', () => target.agent().report().converged);
  const records = target.agent().guests();
  return { ...target, guest: (name) => recordOf(records, name) };
}

function targetOn(world: SimWorld, cast: Cast, theirs: number, verifier: SignatureVerifier): Target {
  const agent: Target['agent'] = () => {
    const life = world.life();
    if (life === undefined) throw new Error('cannot ask the agent: it does not run');
    return life.agent;
  };
  const reach: Target['reach'] = async (what, condition, ms = 10 * minute) => {
    if (!(await world.until(condition, ms))) throw new Error(`cannot play on: it did not happen: ${what}`);
  };
  const guest: Target['guest'] = (name) => recordOf(agent().guests(), name);
  return {
    world,
    cast,
    verifier,
    agent,
    guest,
    theirs,
    reach,
    removal: (people, overrides) => {
      const { uid, incarnation, volumes } = guest('photos');
      const lossSet = volumes.map(({ volid }) => volid).toSorted();
      const params = { guest: { uid, incarnation }, lossSet, backups: 'keep' as const };
      return world.sign('decommission', params, people, overrides);
    },
    deliver: async (...envelopes) => {
      for (const envelope of envelopes) world.hub.mail(envelope);
      const from = world.hub.polls();
      await reach('the host polls', () => world.hub.polls() >= from + 2);
    },
    answerWith: (twist) => {
      world.hub.twist = twist;
    },
    pass: (ms) => world.clock.advance(ms),
    sleep: async (ms) => {
      world.clock.suspend(ms);
      await world.clock.settle();
    },
    blocked: async (verb) => {
      const found = (): Digest | undefined =>
        agent()
          .report()
          .blocked.find(({ document }) => document.verb === verb)?.digest;
      await reach(`${verb} is blocked`, () => found() !== undefined);
      return found() as Digest;
    },
    want: (...guests) => void world.hub.publish(guests),
    byHand: async (method, path, params) => {
      const answer = await world.clock.runUntil(world.node.handle({ method, path, params, as: 'root@pam' }));
      if (answer.status !== 200) throw new Error(`cannot do by hand ${method} ${path}: ${answer.reason}`);
      const upid = (answer.body as { readonly data: unknown }).data;
      if (typeof upid === 'string' && upid.startsWith('UPID:'))
        await world.clock.runUntil(world.node.tasks.settled(upid));
    },
    // The runner of a trick puts its judge in here.
    asMeant: () => undefined,
    restart: async () => {
      world.cut();
      await world.clock.advance(1000);
      world.boot();
    },
  };
}

function recordOf(records: readonly GuestRecord[], name: string): GuestRecord {
  const record = records.find((one) => one.name === (name as GuestName));
  if (record === undefined) throw new Error(`cannot play on: guest ${name} is not on record`);
  return record;
}
