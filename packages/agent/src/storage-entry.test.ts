/** What an entry of Proxmox has to say, option by option: what differs, what Proxmox can change, and what bars its use. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storageTarget } from '@felhom/protocol';
import { entryDifferences, entryOf } from './storage-entry.ts';
import type { EntryOptions } from './storage-entry.ts';

const common = { name: 'one', storage: 'one', role: 'vzdump-target', class: 'slow' };
const fingerprint = Array.from({ length: 32 }, () => 'ab').join(':');
const wanted = (target: object): EntryOptions =>
  entryOf({ target: storageTarget.parse({ ...common, ...target }), state: 'attached' }, 'pve1');
const entries = {
  dir: wanted({ type: 'usb', uuid: 'AAAA-BBBB', fileSystem: 'ext4' }),
  nfs: wanted({ type: 'nfs', server: 'nas', export: '/export' }),
  cifs: wanted({ type: 'cifs', server: 'nas', share: 'backup', user: 'felhom', credential: 'nas' }),
  pbs: wanted({
    type: 'pbs',
    role: 'pbs-offsite',
    server: 'pbs',
    datastore: 'box',
    user: 'box@pbs',
    credential: 'pbs',
    fingerprint,
  }),
};

/** `-`: none; `fixed`: Proxmox cannot change it; `bars`: it cannot be used meanwhile; `drift`: it can. */
const rows: [type: keyof typeof entries, changed: string, is: string][] = [
  ['dir', 'type=btrfs', 'type fixed'],
  ['dir', 'path=/srv', 'path fixed'],
  ['dir', 'is_mountpoint=no', 'is_mountpoint bars'],
  ['dir', 'is_mountpoint=', 'is_mountpoint bars'],
  ['dir', 'is_mountpoint=1', '-'],
  ['dir', 'is_mountpoint=/mnt/felhom/one', '-'],
  ['dir', 'is_mountpoint=/mnt', 'is_mountpoint bars'],
  ['dir', 'create-base-path=1', 'create-base-path drift'],
  ['dir', 'create-base-path=', 'create-base-path drift'],
  ['dir', 'create-base-path=no', '-'],
  ['dir', 'prune-backups=keep-last=3', 'prune-backups drift'],
  ['dir', 'prune-backups=', 'prune-backups drift'],
  ['dir', 'content=iso,backup', 'content drift'],
  ['dir', 'content=iso', 'content bars'],
  ['dir', 'nodes=', 'nodes drift'],
  ['dir', 'nodes=pve2,pve1', 'nodes drift'],
  ['dir', 'nodes=pve2', 'nodes bars'],
  ['dir', 'disable=1', 'disable bars'],
  ['dir', 'disable=0', '-'],
  ['dir', 'shared=1', 'shared drift'],
  ['dir', 'content-dirs=backup=x', 'content-dirs bars'],
  ['dir', 'bwlimit=default=1', '-'],
  ['dir', 'preallocation=off', '-'],
  ['nfs', 'server=evil', 'server fixed'],
  ['nfs', 'export=/x', 'export fixed'],
  ['nfs', 'path=/mnt/pve/one', '-'],
  ['nfs', 'options=hard', 'options drift'],
  ['cifs', 'server=evil', 'server fixed'],
  ['cifs', 'share=x', 'share fixed'],
  ['cifs', 'username=x', 'username bars'],
  ['cifs', 'subdir=/x', 'subdir bars'],
  ['cifs', 'domain=x', 'domain bars'],
  ['pbs', 'server=evil', 'server fixed'],
  ['pbs', 'datastore=x', 'datastore fixed'],
  ['pbs', 'namespace=x', 'namespace bars'],
  ['pbs', 'fingerprint=', 'fingerprint bars'],
  ['pbs', `fingerprint=${fingerprint.toUpperCase()}`, '-'],
  ['pbs', 'port=', '-'],
  ['pbs', 'port=1', 'port bars'],
];
for (const [type, changed, is] of rows)
  test(`${type}: ${changed} → ${is}`, () => {
    const at = changed.indexOf('=');
    const [key, value] = [changed.slice(0, at), changed.slice(at + 1)];
    const found = Object.fromEntries(
      Object.entries({ ...entries[type], [key]: value }).filter(([, text]) => text !== ''),
    );
    const said = entryDifferences(found, entries[type]).map(
      (one) => `${one.key} ${one.fixed ? 'fixed' : one.bars ? 'bars' : 'drift'}`,
    );
    assert.equal(said.join(', ') || '-', is);
  });

test('a decommissioned target is switched off, and what cannot be changed is named first', () => {
  const target = storageTarget.parse({ ...common, type: 'usb', uuid: 'AAAA-BBBB', fileSystem: 'ext4' });
  const off = entryOf({ target, state: 'decommissioned' }, 'pve1');
  assert.deepEqual(
    entryDifferences({ ...entries.dir, path: '/x' }, off).map(({ key }) => key),
    ['path', 'disable'],
  );
});
