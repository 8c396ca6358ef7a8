/** Desired state is unsigned: what a hub may wish for, and what it only gets with signatures [R15]. */
import { digestOfText } from '@felhom/protocol';
import { labGuest } from '../../world/desired.ts';
import type { LabGuest } from '../../world/desired.ts';
import { minute } from '../trick.ts';
import type { Target, Trick } from '../trick.ts';

const lineage = 'labzlabzlabzlabzlabzlabzla';
const photos = labGuest('photos');

/** A document that reads, and asks for what takes a signature. */
function wish(name: string, guests: readonly Partial<LabGuest>[], verb: string): Trick {
  return {
    name: `desired state ${name}`,
    gain: 'the hub has without a signature what takes one',
    play: async (target) => {
      target.want(...guests);
      await target.pass(3 * minute);
    },
    leaves: {
      audit: new RegExp(`gate\\.blocked.*${verb}|gate\\.refused`),
      shown: new RegExp(`"verb":"[a-z-]*(?:${verb})|"key":"`),
    },
  };
}

/** A text that is no document, or not the next one. */
function text(name: string, write: (target: Target) => string, leaves?: Trick['leaves']): Trick {
  return {
    name: `desired state ${name}`,
    gain: 'the host goes by what is no order',
    play: async (target) => {
      const sent = write(target);
      target.answerWith((answer) => ({
        ...answer,
        desired: { is: 'document', digest: digestOfText(sent), text: sent },
      }));
      await target.pass(2 * minute);
    },
    leaves: leaves ?? { audit: /desired/, shown: /"key":"(?:hub|desired)/ },
  };
}

const document = (generation: number, guests: readonly unknown[], more: object = {}): string =>
  JSON.stringify({ v: 1, lineage, generation, guests, ...more });
const both = [labGuest('web'), photos];
const withWeb = (more: object): readonly unknown[] => [{ ...labGuest('web'), ...more }, photos];

export const wishTricks: readonly Trick[] = [
  wish('without any guest', [], 'guest-remove'),
  wish('without one guest', [labGuest('web')], 'guest-remove'),
  wish('with less memory', [labGuest('web', { memoryMiB: 64 }), photos], 'memory-down'),
  wish('with a stopped guest', [labGuest('web', { power: 'stopped' }), photos], 'power-stop|guest-stop|stop'),
  wish('with another host name', [labGuest('web', { hostname: 'bank' }), photos], 'hostname-change'),
  wish(
    'with a volume moved over the system',
    [labGuest('web', { volumes: labGuest('web').volumes.map((one) => ({ ...one, path: `/etc${one.path}` })) }), photos],
    'mount|volume|path',
  ),
  wish(
    'with a volume that is no longer backed up',
    [labGuest('web', { volumes: labGuest('web').volumes.map((one) => ({ ...one, backup: false })) }), photos],
    'backup|volume',
  ),
  wish(
    'with a volume less',
    [labGuest('web', { volumes: labGuest('web').volumes.slice(1) }), photos],
    'volume|detach|remove',
  ),
  wish(
    'with another bridge',
    [labGuest('web', { networks: [{ name: 'eth0', bridge: 'vmbr1', ipv4: 'dhcp' }] }), photos],
    'network|bridge',
  ),
  text('that calls a guest scratch', () => document(2, withWeb({ scratch: true }))),
  text('that names a volume id', () => document(2, withWeb({ rootfs: { volid: 'guests:vm-9004-disk-0' } }))),
  text('that carries a raw key of Proxmox', () => document(2, withWeb({ hookscript: 'local:snippets/x.sh' }))),
  text('that wants a hold of the whole host', () => document(2, both, { hold: 'all' })),
  text('that names a guest twice', () => document(2, [labGuest('web'), labGuest('web', { cores: 2 }), photos])),
  text('of an older generation', () => document(0, [])),
  text('of the same generation with other content', () => document(1, [])),
  text('of another lineage', () => document(9, []).replace(lineage, 'otherotherotherotherothero')),
  text('with a number that no reader can count to', () =>
    document(2, []).replace('"generation":2', '"generation":1e99'),
  ),
  text('nested a hundred thousand deep', () => '['.repeat(100_000)),
  text('of ten mebibytes', () => document(2, both, { more: 'x'.repeat(10 * 2 ** 20) })),
  text('that is no JSON', () => 'guests: []'),
  {
    name: 'desired state under the digest of another',
    gain: 'what was looked at is not what is adopted',
    play: async (target) => {
      target.answerWith((answer) => ({
        ...answer,
        desired: { is: 'document', digest: digestOfText(document(2, both)), text: document(2, []) },
      }));
      await target.pass(2 * minute);
    },
    leaves: { audit: /desired/, shown: /"key":"(?:hub|desired)/ },
  },
];
