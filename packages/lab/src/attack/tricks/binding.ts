/** Good signatures over something that is not for this host, this guest or this moment. */
import type { JobOverrides } from '../../world/sign-job.ts';
import { day, hour, minute } from '../trick.ts';
import type { Target, Trick } from '../trick.ts';

const gain = 'photos is removed with all its volumes';
const refused = { audit: /job\.refused/, shown: /"state":"refused"/ };
/** Not spent: its time may come, or somebody may say why it does not. */
const waits = { audit: /job\./, shown: /"state":"waiting"/ };

function row(
  name: string,
  overrides: (target: Target) => JobOverrides,
  leaves: Trick['leaves'] = refused,
  more: Partial<Trick> = {},
): Trick {
  return {
    name,
    gain,
    play: (target) => target.deliver(target.removal([target.cast.alice, target.cast.bob], overrides(target)).envelope),
    leaves,
    ...more,
  };
}

/** Any hold of the host, as a signature of one could order it. */
const holdAll = (target: Target, overrides: JobOverrides = {}): string =>
  target.world.sign('hold', { scope: 'host', set: true }, [target.cast.alice], overrides).envelope;

const paramsOf = (target: Target, guest: { uid: string; incarnation: number }): JobOverrides => ({
  params: {
    guest,
    lossSet: target
      .guest('photos')
      .volumes.map(({ volid }) => volid)
      .toSorted(),
    backups: 'keep',
  },
});

const wrongChallenge = (name: string, forge: (challenge: string) => string): Trick =>
  row(name, ({ world }) => ({ challenge: forge(world.hub.lastStatement()?.said.challenge ?? '') }));

export const bindingTricks: readonly Trick[] = [
  row('signed for another host', () => ({ host: 'other' })),
  row('signed for a guest that is not there', (target) => paramsOf(target, { uid: 'a'.repeat(26), incarnation: 1 })),
  row('signed for another incarnation of the guest', (target) => {
    const { uid, incarnation } = target.guest('photos');
    return paramsOf(target, { uid, incarnation: incarnation + 1 });
  }),
  row('signed for the volumes of another guest', (target) => {
    const { uid, incarnation } = target.guest('web');
    return paramsOf(target, { uid, incarnation });
  }),
  row('signed for more volumes than the guest has', (target) => {
    const { uid, incarnation, volumes } = target.guest('photos');
    const web = target.guest('web').volumes[0]?.volid ?? '';
    const lossSet = [...volumes.map(({ volid }) => volid as string), web].toSorted();
    return { params: { guest: { uid, incarnation }, lossSet, backups: 'keep' } };
  }),
  row('signed for fewer volumes than the guest has', (target) => {
    const { uid, incarnation, volumes } = target.guest('photos');
    const lossSet = volumes
      .map(({ volid }) => volid as string)
      .toSorted()
      .slice(1);
    return { params: { guest: { uid, incarnation }, lossSet, backups: 'keep' } };
  }),
  row('signed for another epoch', () => ({ hostEpoch: '0'.repeat(32) })),
  wrongChallenge('a challenge of another host', () => `3.${'5'.repeat(32)}`),
  wrongChallenge('a challenge with one digit changed', (challenge) =>
    challenge.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')),
  ),
  wrongChallenge('the proof of one challenge with the window of a later one', (challenge) =>
    challenge.replace(/^\d+/, (window) => String(Number(window) + 1)),
  ),
  row('its own times end before they begin', ({ world }) => ({
    notBefore: world.clock.now(),
    expiresAt: world.clock.now() - 1,
  })),
  row('its own times span a month', ({ world }) => ({ expiresAt: world.clock.now() + 30 * day })),
  row('its time is over', ({ world }) => ({
    issuedAt: world.clock.now() - 2 * hour,
    notBefore: world.clock.now() - 2 * hour,
    expiresAt: world.clock.now() - hour,
  })),
  row(
    'issued next year, signed now',
    ({ world }) => {
      const at = world.clock.now() + 365 * day;
      return { issuedAt: at, notBefore: world.clock.now(), expiresAt: at + hour };
    },
    { audit: /job\./, shown: /"state":"(?:waiting|refused)"/ },
  ),
  {
    name: 'signed for next year, and kept until then',
    gain: 'orders of somebody who left long ago',
    play: async (target) => {
      const at = target.world.clock.now() + 365 * day;
      const kept = target.removal([target.cast.alice, target.cast.bob], {
        issuedAt: at,
        notBefore: at,
        expiresAt: at + hour,
      });
      await target.sleep(365 * day + minute);
      await target.pass(2 * minute);
      await target.deliver(kept.envelope);
    },
    // By then the trust document has expired as well; whichever comes first.
    leaves: { audit: /job\.|envelope\./, shown: /"state":"(?:refused|waiting)"|envelope\.refused|trust\.expired/ },
  },
  row(
    'not to be carried out before tomorrow',
    ({ world }) => ({ notBefore: world.clock.now() + 20 * minute, expiresAt: world.clock.now() + hour }),
    waits,
  ),
  {
    name: 'a removal that is delivered an hour later',
    gain: 'photos is removed after an hour of work that the signers did not know of',
    play: async (target) => {
      const kept = target.removal([target.cast.alice, target.cast.bob], { expiresAt: target.world.clock.now() + day });
      await target.sleep(hour + 11 * minute);
      await target.pass(minute);
      await target.deliver(kept.envelope);
    },
    leaves: refused,
  },
  {
    name: 'a removal that is kept back over a reboot of the host',
    gain: 'the age of an order begins anew with the machine',
    play: async (target) => {
      const kept = target.removal([target.cast.alice, target.cast.bob], { expiresAt: target.world.clock.now() + day });
      await target.sleep(40 * minute);
      await target.restart();
      await target.sleep(40 * minute);
      await target.restart();
      await target.pass(minute);
      await target.deliver(kept.envelope);
    },
    leaves: refused,
  },
  {
    name: 'a hold that is delivered a day later',
    gain: 'the host is held by an order of yesterday',
    play: async (target) => {
      const kept = holdAll(target, { expiresAt: target.world.clock.now() + 3 * day });
      await target.sleep(day + 11 * minute);
      await target.pass(minute);
      await target.deliver(kept);
    },
    leaves: refused,
  },
  {
    name: "a removal while the host's clock is an hour and more off",
    gain: 'with the clock the age of everything is in the hands of whoever sets it',
    play: async (target) => {
      target.world.clock.jumpWall(-2 * hour);
      await target.pass(2 * minute);
      await target.deliver(
        target.removal([target.cast.alice, target.cast.bob], {
          notBefore: target.world.clock.now() - hour,
          expiresAt: target.world.clock.now() + 3 * hour,
        }).envelope,
      );
    },
    leaves: { audit: /job\./, shown: /job\.clock|clock/ },
  },
];
