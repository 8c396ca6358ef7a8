/** Guests that are on no record: nobody's without a signature, and only as they were when people looked [R36]. */
import type { GuestName, JobOf, VolumeId } from '@felhom/protocol';
import type { JobOverrides } from '../../world/sign-job.ts';
import { minute } from '../trick.ts';
import type { Target, Trick } from '../trick.ts';

const gain = "somebody else's guest is in the hands of the hub";
/** Where it may come right by itself it waits, with the reason. */
const refused = { audit: /job\./, shown: /"state":"(?:refused|failed)"|"state":"waiting".*"code":"gate\./ };

type Params = JobOf<'adopt'>['params'];

async function stranger(target: Target): Promise<Params> {
  const found = () =>
    target
      .agent()
      .report()
      .strangers.find(({ vmid }) => vmid === target.theirs);
  await target.reach('the stranger is reported', () => found() !== undefined);
  const { vmid, configDigest, volumes } = found() ?? { vmid: 0, configDigest: '', volumes: [] as VolumeId[] };
  return { vmid: vmid as Params['vmid'], name: 'theirs' as GuestName, configDigest, volumes: volumes.toSorted() };
}

function row(
  name: string,
  change: (params: Params, target: Target) => Partial<Params>,
  leaves: Trick['leaves'] = refused,
  overrides: JobOverrides = {},
): Trick {
  return {
    name: `adoption ${name}`,
    gain,
    play: async (target) => {
      const params = await stranger(target);
      const people = [target.cast.alice, target.cast.bob];
      const signed = target.world.sign('adopt', { ...params, ...change(params, target) }, people, overrides);
      await target.deliver(signed.envelope);
      await target.pass(minute);
    },
    leaves,
  };
}

export const adoptionTricks: readonly Trick[] = [
  {
    name: 'adoption that nobody signed',
    gain,
    play: async (target) => {
      const params = await stranger(target);
      await target.deliver(target.world.sign('adopt', params, [target.cast.mallory]).envelope);
    },
    leaves: { audit: /envelope\.refused/, shown: /envelope\.refused/ },
  },
  {
    name: 'adoption of a guest that was changed since the signing',
    gain,
    play: async (target) => {
      const params = await stranger(target);
      const kept = target.world.sign('adopt', params, [target.cast.alice, target.cast.bob]);
      const path = `/nodes/${target.world.node.name}/lxc/${params.vmid}/config`;
      await target.byHand('PUT', path, { description: 'not for you any more' });
      const now = target.world.host.rawConfig(params.vmid);
      target.asMeant();
      await target.deliver(kept.envelope);
      await target.pass(minute);
      if (target.world.host.rawConfig(params.vmid) !== now) throw new Error('its config was changed');
    },
    leaves: refused,
  },
  row('under a digest that the config never had', () => ({ configDigest: '0'.repeat(40) })),
  row('with one volume less than it has', ({ volumes }) => ({ volumes: volumes.slice(1) })),
  row('with a volume of another guest', ({ volumes }, target) => ({
    volumes: [...volumes, target.guest('web').volumes[0]?.volid as VolumeId].toSorted(),
  })),
  row('of a guest that is ours already', (_, target) => ({ vmid: target.guest('web').vmid })),
  row('under the name of a guest that is ours', () => ({ name: 'web' as GuestName })),
  row('of a VMID outside the range', () => ({ vmid: 9900 as Params['vmid'] })),
  row('for another host', () => ({}), refused, { host: 'other' }),
];
