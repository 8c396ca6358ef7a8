import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { roomyStorage } from '../test/fake-host.ts';
import { parseFelhomFile } from './felhom-file.ts';
import { placeVolumes } from './placement.ts';
import type { StorageView } from './placement.ts';

type View = StorageView['volumes'][number];
const root: View = {
  name: 'rootfs',
  path: '/',
  class: 'fast',
  sizeBytes: 1e9,
  backup: true,
  ownBackup: 'in-guest-backup',
  state: 'attached',
};
const data: View = { ...root, name: 'data', path: '/srv/data' };
const photos: View = {
  ...data,
  name: 'photos',
  path: '/srv/photos',
  class: 'slow',
  backup: false,
  ownBackup: 'controller',
};

describe('where a volume may lie', () => {
  const rows: readonly {
    name: string;
    kind: 'hot' | 'bulk';
    path: string;
    volumes: readonly View[];
    /** The mount, or a part of the refusal. */
    want: string;
  }[] = [
    { name: 'hot on a fast mount', kind: 'hot', path: '/srv/data/db', volumes: [root, data], want: '/srv/data' },
    { name: 'hot on a fast root', kind: 'hot', path: '/srv/db', volumes: [root], want: '/' },
    {
      name: 'hot on a slow mount',
      kind: 'hot',
      path: '/srv/data/db',
      volumes: [root, { ...data, class: 'slow' }],
      want: 'is on slow storage',
    },
    {
      name: 'hot on a slow root',
      kind: 'hot',
      path: '/srv/db',
      volumes: [{ ...root, class: 'slow' }],
      want: '/ is on slow storage',
    },
    {
      name: 'hot where backups do not reach',
      kind: 'hot',
      path: '/srv/fast',
      volumes: [root, { ...photos, path: '/srv/fast', class: 'fast' }],
      want: "left out of the guest's backups",
    },
    {
      name: 'hot beside a mount of nearly its name',
      kind: 'hot',
      path: '/srv/database',
      volumes: [
        { ...root, class: 'slow' },
        { ...data, path: '/srv/data' },
      ],
      want: '/ is on slow storage',
    },
    {
      name: 'bulk on its own mount',
      kind: 'bulk',
      path: '/srv/photos',
      volumes: [root, data, photos],
      want: '/srv/photos',
    },
    {
      name: 'bulk whose loss was acknowledged',
      kind: 'bulk',
      path: '/srv/photos',
      volumes: [root, { ...photos, ownBackup: 'none-acknowledged' }],
      want: '/srv/photos',
    },
    {
      name: 'bulk nobody decided about',
      kind: 'bulk',
      path: '/srv/photos',
      volumes: [root, { ...photos, ownBackup: 'undecided' }],
      want: 'nobody has decided',
    },
    {
      name: 'bulk on a disk that is away',
      kind: 'bulk',
      path: '/srv/photos',
      volumes: [root, { ...photos, state: 'away' }],
      want: 'not to be relied on now (away)',
    },
    {
      name: 'bulk on fast storage',
      kind: 'bulk',
      path: '/srv/photos',
      volumes: [root, { ...photos, class: 'fast' }],
      want: '/srv/photos',
    },
    {
      name: 'bulk inside the backups',
      kind: 'bulk',
      path: '/srv/data/films',
      volumes: [root, data],
      want: "is part of the guest's backups",
    },
    { name: 'bulk on the root', kind: 'bulk', path: '/srv/films', volumes: [root], want: 'fill the root file system' },
    { name: 'nothing mounted at all', kind: 'hot', path: '/srv/data', volumes: [], want: 'nothing is mounted' },
  ];
  for (const { name, kind, path, volumes, want } of rows)
    it(name, () => {
      const file = { v: 1 as const, app: 'shop', volumes: [{ kind, path }] };
      const placement = placeVolumes(file, { ...roomyStorage, volumes: [...volumes] });
      if (placement.is === 'placed') assert.equal(placement.volumes[0]?.mount, want);
      else {
        assert.ok(placement.texts[0]?.includes(want) === true, placement.texts.join());
        assert.match(placement.texts[0] ?? '', /; ask your operator for /);
      }
    });

  it('names everything that does not fit, not the first thing only', () => {
    const file = {
      v: 1 as const,
      app: 'shop',
      volumes: [
        { kind: 'hot' as const, path: '/a' },
        { kind: 'bulk' as const, path: '/b' },
      ],
    };
    const placement = placeVolumes(file, { ...roomyStorage, volumes: [] });
    assert.equal(placement.is === 'refused' && placement.texts.length, 2);
  });
});

describe('.felhom.yml', () => {
  const good = 'v: 1\napp: shop\nvolumes:\n  - path: /srv/data/db\n    kind: hot\n';
  it('reads', () => assert.equal(parseFelhomFile(good).is, 'ok'));
  const bad = {
    'no YAML': 'v: [1',
    'another version': good.replace('v: 1', 'v: 2'),
    'a path that leaves': good.replace('/srv/data/db', '/srv/../etc'),
    'a relative path': good.replace('/srv/data/db', 'srv/data'),
    'an unknown kind': good.replace('hot', 'warm'),
    'an unknown field': `${good}extra: 1\n`,
    'a bomb of aliases': 'a: &a [1]\nb: [*a, *a]\nv: 1\napp: shop\n',
  };
  for (const [name, text] of Object.entries(bad))
    it(`refuses ${name}`, () => assert.equal(parseFelhomFile(text).is, 'invalid'));
});
