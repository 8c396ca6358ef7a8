/** What was approved, and what would happen by the time it is carried out [R40]. */
import { digestOfBlocked, makeBlockedDocument } from '@felhom/protocol';
import type { Digest } from '@felhom/protocol';
import { labGuest } from '../../world/desired.ts';
import { minute } from '../trick.ts';
import type { Target, Trick } from '../trick.ts';

const refused = { audit: /job\.refused|job\.not-asked|job\.changed/, shown: /"state":"refused"/ };

const digestFor = (target: Target, verb: string): Digest | undefined =>
  target
    .agent()
    .report()
    .blocked.find(({ document }) => document.verb === verb)?.digest;

const coresOf = (target: Target): string | undefined =>
  /^cores: (\d+)$/m.exec(target.world.host.rawConfig(target.guest('web').vmid) ?? '')?.[1];

/** `web` had two cores, and people signed that it gets one. */
async function shrunkByApproval(target: Target): Promise<string> {
  const { world, cast } = target;
  target.want(labGuest('web', { cores: 2 }), labGuest('photos'));
  await target.reach('web has two cores', () => coresOf(target) === '2');
  target.want(labGuest('web'), labGuest('photos'));
  const digest = await target.blocked('cpu-down');
  const { envelope } = world.sign('approve', { digest }, [cast.alice]);
  await target.deliver(envelope);
  await target.reach('web has one core', () => coresOf(target) === '1');
  return envelope;
}

export const approvalTricks: readonly Trick[] = [
  {
    name: 'an approval of what nobody asks for',
    gain: 'the removal of web, which two people approved beforehand',
    play: async (target) => {
      const { world, cast } = target;
      const { uid, incarnation, volumes } = target.guest('web');
      const document = makeBlockedDocument({
        hostEpoch: world.hub.lastStatement()?.said.hostEpoch ?? '',
        effectClass: 'destroy',
        subject: { is: 'guest', uid, incarnation },
        verb: 'guest-remove',
        parameters: {},
        lossSet: volumes.map(({ volid }) => volid),
      });
      const params = { digest: digestOfBlocked(document) };
      await target.deliver(world.sign('approve', params, [cast.alice, cast.bob]).envelope);
    },
    leaves: refused,
  },
  {
    name: 'an approval while a volume was attached since the signing',
    gain: 'a volume is lost that no signer knew of',
    play: async (target) => {
      const { world, cast } = target;
      target.want(labGuest('web'));
      const digest = await target.blocked('guest-remove');
      const kept = world.sign('approve', { digest }, [cast.alice, cast.bob]);
      const { vmid } = target.guest('photos');
      await target.byHand('PUT', `/nodes/${world.node.name}/lxc/${vmid}/config`, {
        mp5: 'bulk:8,mp=/srv/more,backup=0',
      });
      await target.pass(2 * minute);
      target.asMeant();
      await target.deliver(kept.envelope);
    },
    leaves: { audit: /job\./, shown: /job\.not-asked|job\.changed|not on record|unknown/ },
  },
  {
    name: 'a volume attached after the approval was taken',
    gain: 'a volume is lost that no signer knew of',
    host: () => ({ policy: { removal: { coolOffMinutes: 10, quarantineHours: 0.01 } } }),
    play: async (target) => {
      const { world, cast } = target;
      await target.deliver(target.removal([cast.alice, cast.bob]).envelope);
      await target.reach('it cools off', () => /cooling-off/.test(JSON.stringify(target.agent().report().jobs)));
      const { vmid } = target.guest('photos');
      await target.byHand('PUT', `/nodes/${world.node.name}/lxc/${vmid}/config`, {
        mp5: 'bulk:8,mp=/srv/more,backup=0',
      });
      target.asMeant();
      await target.pass(20 * minute);
    },
    leaves: { audit: /job\./, shown: /mp5|more|another|nobody signed|not signed|volume/ },
  },
  {
    name: 'one approval for two times',
    gain: 'an order of yesterday shrinks guests for ever',
    play: async (target) => {
      const envelope = await shrunkByApproval(target);
      target.want(labGuest('web', { cores: 2 }), labGuest('photos'));
      await target.reach('web has two cores again', () => coresOf(target) === '2');
      target.want(labGuest('web'), labGuest('photos'));
      await target.blocked('cpu-down');
      target.asMeant();
      target.answerWith((answer) => ({ ...answer, envelopes: [envelope] }));
      await target.pass(2 * minute);
    },
    leaves: { audit: /gate\.blocked/, shown: /cpu-down/ },
  },
  {
    name: 'an approval of a shrink, for a deeper one',
    gain: 'a signature for a little is good for much',
    play: async (target) => {
      const { world, cast } = target;
      target.want(labGuest('web', { memoryMiB: 384 }), labGuest('photos'));
      const digest = await target.blocked('memory-down');
      const kept = world.sign('approve', { digest }, [cast.alice]);
      target.want(labGuest('web', { memoryMiB: 64 }), labGuest('photos'));
      await target.reach(
        'the deeper one is blocked',
        () => ![undefined, digest].includes(digestFor(target, 'memory-down')),
      );
      await target.deliver(kept.envelope);
    },
    leaves: refused,
  },
  {
    name: 'a removal after the guest was made anew at the same VMID',
    gain: 'the new guest dies for the old one',
    play: async (target) => {
      const { world, cast } = target;
      const people = [cast.alice, cast.bob];
      const old = target.guest('photos');
      const kept = target.removal(people);
      await target.deliver(target.removal(people).envelope);
      target.want(labGuest('web'));
      await target.reach('photos is removed', () => !world.node.guests.exists(old.vmid), 20 * minute);
      target.want(labGuest('web'), labGuest('photos'));
      await target.reach(
        'photos is back',
        () => target.agent().report().converged && world.node.guests.exists(old.vmid),
        20 * minute,
      );
      target.asMeant();
      await target.deliver(kept.envelope);
    },
    leaves: { audit: /job\.refused/, shown: /job\.unknown-target/ },
  },
];
