/** The same order again, in another order, or on a journal from before it. */
import { digestOfTrust } from '@felhom/protocol';
import type { TrustDocument } from '@felhom/protocol';
import { minute, second } from '../trick.ts';
import type { Target, Trick } from '../trick.ts';

const isHeld = (target: Target): boolean => target.agent().report().hold;
const stateOf = (target: Target, jobId: string): string | undefined =>
  target
    .agent()
    .report()
    .jobs.find((job) => job.jobId === jobId)?.state;

/** A hold that was set and lifted again by signature: replaying the first would set it a second time. */
async function heldAndLifted(target: Target): Promise<{ readonly set: string; readonly jobId: string }> {
  const { world, cast } = target;
  const set = world.sign('hold', { scope: 'host', set: true }, [cast.alice]);
  await target.deliver(set.envelope);
  await target.reach('the host is held', () => isHeld(target));
  const clear = world.sign('hold', { scope: 'host', set: false }, [cast.alice]);
  await target.deliver(clear.envelope);
  await target.reach('the hold is lifted', () => !isHeld(target));
  return { set: set.envelope, jobId: set.jobId };
}

/** Sends these envelopes in every answer, whatever the host says it took. */
function insist(target: Target, envelopes: readonly string[]): void {
  target.answerWith((answer) => ({ ...answer, envelopes: [...envelopes] }));
}

const trustNow = (target: Target): TrustDocument => {
  const read = target.world.root.store.read();
  if (read.is !== 'held') throw new Error('there is no trust document');
  return read.document;
};

const gain = 'the host is held a second time by one order';
const once = { audit: /job\.(?:done|accepted|taken)/, shown: /"state":"done"/ };

export const replayTricks: readonly Trick[] = [
  {
    name: 'a job that is done, a thousand times more',
    gain,
    play: async (target) => {
      const { set } = await heldAndLifted(target);
      insist(
        target,
        Array.from({ length: 32 }, () => set),
      );
      // 32 of them with each of the next polls.
      const from = target.world.hub.polls();
      await target.reach('a thousand were sent', () => (target.world.hub.polls() - from) * 32 >= 1000, 60 * minute);
    },
    leaves: once,
  },
  {
    name: 'a job that is done, across kills and reboots',
    gain,
    play: async (target) => {
      const { set } = await heldAndLifted(target);
      insist(target, [set]);
      for (let times = 0; times < 3; times += 1) {
        await target.restart();
        await target.pass(30 * second);
      }
      target.world.cut();
      await target.world.clock.runUntil(target.world.node.reboot());
      await startGuestsAgain(target);
    },
    leaves: once,
  },
  {
    name: 'a job that is done, in another envelope with one more signature',
    gain,
    play: async (target) => {
      const { world, cast } = target;
      const set = world.sign('hold', { scope: 'host', set: true }, [cast.alice]);
      await target.deliver(set.envelope);
      await target.reach('the host is held', () => isHeld(target));
      await target.deliver(world.sign('hold', { scope: 'host', set: false }, [cast.alice]).envelope);
      await target.reach('the hold is lifted', () => !isHeld(target));
      const again = { ...(JSON.parse(set.envelope) as object) } as { signatures: string[] };
      again.signatures.push(cast.bob.sign('felhom-job@1', set.payload));
      await target.deliver(JSON.stringify(again));
    },
    leaves: once,
  },
  {
    name: 'the id of a job that is done, with other content',
    gain: 'what was done once stands for what was not',
    play: async (target) => {
      const { jobId } = await heldAndLifted(target);
      await target.deliver(target.removal([target.cast.alice, target.cast.bob], { jobId }).envelope);
    },
    leaves: { audit: /job\.same-id|envelope\.refused/, shown: /job\.same-id/ },
  },
  {
    name: 'one removal in every place of one answer',
    gain: 'one order counts as many',
    play: async (target) => {
      const { envelope } = target.removal([target.cast.alice]);
      insist(
        target,
        Array.from({ length: 32 }, () => envelope),
      );
      await target.pass(5 * minute);
    },
    leaves: { audit: /job\./, shown: /"state":"waiting"/ },
  },
  {
    name: 'trust documents out of order',
    gain: 'a signer who was taken off is back',
    play: async (target) => {
      const { world, cast } = target;
      const first = trustNow(target);
      const next = { ...first, version: 2, revoked: [cast.carol.keyLine] };
      const afterNext = { ...next, version: 3, revoked: [cast.carol.keyLine], issuedAt: next.issuedAt + 1 };
      const people = [cast.alice, cast.bob];
      const late = world.sign('trust-change', { before: digestOfTrust(next), document: afterNext }, people);
      await target.deliver(late.envelope);
      await target.pass(2 * minute);
    },
    leaves: { audit: /job\./, shown: /trust\.not-the-next/ },
  },
  {
    name: 'the trust document from before a revocation, signed when it was in force',
    gain: 'a signer who was taken off is back',
    play: async (target) => {
      const { world, cast } = target;
      const first = trustNow(target);
      const people = [cast.alice, cast.bob];
      // Signed in good faith before carol lost her laptop: the same people, for another while.
      const renewed = { ...first, version: 2, expiresAt: first.expiresAt + 1 };
      const kept = world.sign('trust-change', { before: digestOfTrust(first), document: renewed }, people);
      const revoking = { ...first, version: 2, revoked: [cast.carol.keyLine] };
      const change = world.sign('trust-change', { before: digestOfTrust(first), document: revoking }, people);
      await target.deliver(change.envelope);
      await target.reach('carol is revoked', () => trustNow(target).revoked.length === 1);
      target.asMeant();
      await target.deliver(kept.envelope);
      await target.pass(2 * minute);
    },
    leaves: { audit: /job\./, shown: /trust\.not-the-next/ },
  },
  {
    name: 'an order again after it was cancelled',
    gain: 'a cancelled order is carried out after all',
    host: () => ({ policy: { removal: { coolOffMinutes: 10, quarantineHours: 0.01 } } }),
    play: async (target) => {
      const { world, cast } = target;
      const order = target.removal([cast.alice, cast.bob]);
      const cancel = world.sign('cancel', { job: order.jobId }, [cast.carol]);
      await target.deliver(order.envelope);
      await target.reach('the removal is known', () => stateOf(target, order.jobId) !== undefined);
      await target.deliver(cancel.envelope);
      await target.reach('it is cancelled', () => stateOf(target, order.jobId) === 'cancelled');
      insist(target, [order.envelope]);
      await target.restart();
      await target.pass(15 * minute);
    },
    leaves: { audit: /job\./, shown: /"state":"cancelled"/ },
  },
  {
    name: 'a journal from before the job was done, with a hub that has seen more',
    gain,
    play: async (target) => {
      const { world } = target;
      const copy = world.copyDisk();
      const { set } = await heldAndLifted(target);
      world.cut();
      world.replaceDisk(copy);
      world.boot();
      await target.pass(minute);
      insist(target, [set]);
      await target.pass(2 * minute);
    },
    leaves: { audit: /epoch|rolled/, shown: /epoch|rolled|other-epoch/ },
  },
  {
    name: 'a journal from before the job was done, with a hub that says nothing of it',
    gain,
    play: async (target) => {
      const { world } = target;
      const copy = world.copyDisk();
      const { set } = await heldAndLifted(target);
      world.cut();
      world.replaceDisk(copy);
      target.answerWith((answer) => {
        const silent = { ...answer, envelopes: [set] };
        delete silent.newerStatement;
        return silent;
      });
      world.boot();
      await target.pass(3 * minute);
    },
    leaves: { audit: /epoch|rolled/, shown: /epoch|rolled|other-epoch/ },
  },
];

/** After a reboot of the node guests without onboot stand; the agent starts them as before. */
async function startGuestsAgain(target: Target): Promise<void> {
  target.world.boot();
  await target.reach('both guests run again', () => target.agent().report().converged, 20 * minute);
}
