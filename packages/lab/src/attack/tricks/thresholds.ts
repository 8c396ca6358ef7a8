/** Side doors around "two people": the same effect by another road, or the number itself [R14]. */
import { digestOfTrust } from '@felhom/protocol';
import type { Digest, TrustDocument } from '@felhom/protocol';
import { labGuest } from '../../world/desired.ts';
import { sealed } from '../../world/sign-job.ts';
import { labTrust } from '../../world/trust.ts';
import { startAt } from '../../world/sim-world.ts';
import { minute } from '../trick.ts';
import type { Cast, Target, Trick } from '../trick.ts';

const waits = { audit: /job\./, shown: /job\.more-people|"state":"waiting"/ };

function trustNow({ world }: Target): TrustDocument {
  const read = world.root.store.read();
  if (read.is !== 'held') throw new Error('there is no trust document');
  return read.document;
}

/** A change of the trust document that alice alone signs. */
function changeByOne(
  name: string,
  gain: string,
  change: (now: TrustDocument, cast: Cast) => Partial<TrustDocument>,
): Trick {
  return {
    name,
    gain,
    play: async (target) => {
      const now = trustNow(target);
      const document = { ...now, version: now.version + 1, ...change(now, target.cast) };
      const params = { before: digestOfTrust(now), document };
      await target.deliver(target.world.sign('trust-change', params, [target.cast.alice]).envelope);
    },
    leaves: waits,
  };
}

async function blockedRemoval(target: Target): Promise<Digest> {
  target.want(labGuest('web'));
  return target.blocked('guest-remove');
}

export const thresholdTricks: readonly Trick[] = [
  {
    name: 'a removal that one person signed',
    gain: 'one stolen key removes guests',
    play: (target) => target.deliver(target.removal([target.cast.alice]).envelope),
    leaves: waits,
  },
  {
    name: 'a removal by way of desired state that one person approved',
    gain: 'one stolen key removes guests that the hub has dropped',
    play: async (target) => {
      const digest = await blockedRemoval(target);
      await target.deliver(target.world.sign('approve', { digest }, [target.cast.alice]).envelope);
    },
    leaves: waits,
  },
  {
    name: 'two approvals of one action, each signed by another person',
    gain: 'two halves of different orders make one',
    play: async (target) => {
      const digest = await blockedRemoval(target);
      const { world, cast } = target;
      await target.deliver(
        world.sign('approve', { digest }, [cast.alice]).envelope,
        world.sign('approve', { digest }, [cast.bob]).envelope,
      );
    },
    leaves: waits,
  },
  {
    name: 'an approval by one and a removal by another',
    gain: 'two halves of different orders make one',
    play: async (target) => {
      const digest = await blockedRemoval(target);
      await target.deliver(
        target.world.sign('approve', { digest }, [target.cast.alice]).envelope,
        target.removal([target.cast.bob]).envelope,
      );
    },
    leaves: waits,
  },
  changeByOne('the threshold of removals lowered by one', 'from then on one key removes guests', (now) => ({
    thresholds: { ...now.thresholds, removal: 1 },
  })),
  changeByOne('one person declares to be the only one', 'nothing asks for two any more', () => ({
    loneOperator: true,
  })),
  changeByOne('a signer added by one', 'a second key of the thief counts as a second person', (now, cast) => ({
    signers: [
      ...now.signers,
      { principal: 'dave', key: cast.key('dave', 'only').keyLine, signs: ['felhom-job@1'], touch: false },
    ],
  })),
  changeByOne('everybody else taken off by one', 'the others can neither stop it nor undo it', (now, cast) => ({
    revoked: [cast.bob.keyLine],
    signers: [
      ...now.signers,
      { principal: 'dave', key: cast.key('dave', 'only').keyLine, signs: ['felhom-job@1'], touch: false },
    ],
  })),
  changeByOne('the trust document prolonged by one', 'a stolen key outlives its document', (now) => ({
    expiresAt: now.expiresAt + 1000,
  })),
  {
    name: 'a trust document for another host, signed by two',
    gain: 'the people of one host decide over another',
    play: async (target) => {
      const now = trustNow(target);
      const document = { ...now, version: 2, host: 'other' as typeof now.host };
      const params = { before: digestOfTrust(now), document };
      await target.deliver(target.world.sign('trust-change', params, [target.cast.alice, target.cast.bob]).envelope);
    },
    leaves: { audit: /job\.refused/, shown: /"state":"refused"/ },
  },
  {
    name: 'a floor lowered by one where destroying takes two',
    gain: 'backups thin out',
    host: (cast) => {
      const { thresholds } = labTrust([cast.alice, cast.bob, cast.carol], startAt);
      return { trust: { thresholds: { ...thresholds, destroy: 2 } } };
    },
    play: async (target) => {
      const before = digestOfTrust(trustNow(target));
      const params = { before, floor: 'keepDays', from: 7, to: 0 } as const;
      await target.deliver(target.world.sign('floor-change', params, [target.cast.alice]).envelope);
    },
    leaves: waits,
  },
  {
    name: 'a floor lowered from a value that it does not have',
    gain: 'an order for another document counts for this one',
    play: async (target) => {
      const before = digestOfTrust(trustNow(target));
      const params = { before, floor: 'keepDays', from: 14, to: 0 } as const;
      await target.deliver(target.world.sign('floor-change', params, [target.cast.alice, target.cast.bob]).envelope);
    },
    leaves: { audit: /job\.refused/, shown: /"state":"refused"/ },
  },
  {
    name: 'no cool-off, by the only operator alone',
    gain: 'one stolen key removes a guest before anybody sees it coming',
    host: (cast) => {
      const { thresholds } = labTrust([cast.alice, cast.bob, cast.carol], startAt);
      return {
        trust: { loneOperator: true, thresholds: { ...thresholds, removal: 1 } },
        policy: { removal: { coolOffMinutes: 60, quarantineHours: 1 } },
      };
    },
    play: async (target) => {
      const { uid, incarnation, volumes } = target.guest('photos');
      const lossSet = volumes.map(({ volid }) => volid).toSorted();
      const params = { guest: { uid, incarnation }, lossSet, backups: 'keep' as const, coolOffMinutes: 0 };
      await target.deliver(target.world.sign('decommission', params, [target.cast.alice]).envelope);
      await target.pass(10 * minute);
    },
    leaves: { audit: /job\./, shown: /"state":"(?:cooling-off|refused|waiting)"/ },
  },
  {
    name: 'a removal called off by a stranger',
    gain: 'what people ordered does not happen',
    host: () => ({ policy: { removal: { coolOffMinutes: 60, quarantineHours: 1 } } }),
    play: async (target) => {
      const { world, cast } = target;
      const order = target.removal([cast.alice, cast.bob]);
      const state = (): string | undefined =>
        target
          .agent()
          .report()
          .jobs.find(({ jobId }) => jobId === order.jobId)?.state;
      await target.deliver(order.envelope);
      await target.reach('the removal cools off', () => state() === 'cooling-off');
      const { payload } = world.sign('cancel', { job: order.jobId }, []);
      await target.deliver(sealed(payload, [cast.mallory]), sealed(payload, []));
      if (state() !== 'cooling-off') throw new Error(`the removal is ${state()}`);
    },
    leaves: { audit: /envelope\.refused/, shown: /job\.not-signed/ },
  },
  {
    name: 'a removal of a second guest on the same day',
    gain: 'a whole host is emptied before anybody looks',
    play: async (target) => {
      const { world, cast } = target;
      const people = [cast.alice, cast.bob];
      await target.deliver(target.removal(people).envelope);
      await target.reach(
        'photos is removed',
        () => !world.node.guests.exists(target.guest('photos').vmid),
        60 * minute,
      );
      await target.pass(minute);
      target.asMeant();
      const { uid, incarnation, volumes } = target.guest('web');
      const lossSet = volumes.map(({ volid }) => volid).toSorted();
      const params = { guest: { uid, incarnation }, lossSet, backups: 'keep' as const };
      await target.deliver(world.sign('decommission', params, people).envelope);
      const isDown = (): boolean => !world.node.guests.isRunning(target.guest('web').vmid);
      await target.reach('web is in quarantine', isDown, 10 * minute);
      await target.pass(minute);
      // Two people did order that: stopping it is theirs. Destroying it is for tomorrow.
      target.asMeant();
      await target.pass(60 * minute);
    },
    leaves: { audit: /job\./, shown: /share of this host/ },
  },
];
