import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { normalizeAclPath, privilegesOn, type AccessConfig, type AclEntry } from './acl.ts';

const entry = (path: string, roleid: string, extra: Partial<AclEntry> = {}): AclEntry => ({
  path,
  type: 'user',
  ugid: 'a@pve',
  roleid,
  propagate: 1,
  ...extra,
});

function config(acl: AclEntry[], privsep: 0 | 1 = 1): AccessConfig {
  const token = { privsep, expire: 0, comment: undefined, secret: 's' };
  const user = {
    userid: 'a@pve',
    enable: 1 as const,
    expire: 0,
    comment: undefined,
    email: '',
    groups: new Set(['g']),
    password: undefined,
    tokens: new Map([['t', token]]),
  };
  return {
    users: new Map([['a@pve', user]]),
    groups: new Map([['g', undefined]]),
    roles: new Map([
      ['Wide', new Set(['VM.Audit', 'VM.Allocate'])],
      ['Narrow', new Set(['VM.Audit'])],
      ['Other', new Set(['VM.Snapshot'])],
      ['NoAccess', new Set<string>()],
    ]),
    acl,
    pools: new Map([['p', { poolid: 'p', comment: undefined, vms: new Set([9001]), storages: new Set(['felhom']) }]]),
  };
}

const token = { type: 'token', ugid: 'a@pve!t' } as const;
const group = { type: 'group', ugid: 'g' } as const;

interface Row {
  readonly name: string;
  readonly acl: AclEntry[];
  readonly who?: string;
  readonly privsep?: 0 | 1;
  readonly path: string;
  readonly held: Record<string, 0 | 1>;
}

const rows: readonly Row[] = [
  { name: 'a role propagates', acl: [entry('/', 'Wide')], path: '/vms/1', held: { 'VM.Audit': 1, 'VM.Allocate': 1 } },
  {
    name: 'a deeper role replaces, it does not add',
    acl: [entry('/', 'Wide'), entry('/vms/1', 'Other')],
    path: '/vms/1',
    held: { 'VM.Snapshot': 1 },
  },
  { name: 'without propagate only here', acl: [entry('/vms', 'Wide', { propagate: 0 })], path: '/vms/1', held: {} },
  {
    name: 'without propagate it shows 0',
    acl: [entry('/vms', 'Narrow', { propagate: 0 })],
    path: '/vms',
    held: { 'VM.Audit': 0 },
  },
  { name: 'NoAccess wins', acl: [entry('/vms', 'Wide'), entry('/vms', 'NoAccess')], path: '/vms/1', held: {} },
  {
    name: 'the user entry beats the group entry on the same path',
    acl: [entry('/vms', 'Wide', group), entry('/vms', 'Narrow')],
    path: '/vms/1',
    held: { 'VM.Audit': 1 },
  },
  { name: 'a group gives rights', acl: [entry('/vms', 'Narrow', group)], path: '/vms/1', held: { 'VM.Audit': 1 } },
  {
    name: 'a separated token alone has nothing',
    acl: [entry('/', 'Wide', token)],
    who: 'a@pve!t',
    path: '/vms/1',
    held: {},
  },
  {
    name: 'a separated token has what both have',
    acl: [entry('/', 'Narrow', token), entry('/', 'Wide')],
    who: 'a@pve!t',
    path: '/vms/1',
    held: { 'VM.Audit': 1 },
  },
  {
    name: 'a token without separation is its user',
    acl: [entry('/', 'Wide')],
    who: 'a@pve!t',
    privsep: 0,
    path: '/vms/1',
    held: { 'VM.Audit': 1, 'VM.Allocate': 1 },
  },
  {
    name: 'a pool gives its members rights that do not propagate',
    acl: [entry('/pool/p', 'Narrow')],
    path: '/vms/9001',
    held: { 'VM.Audit': 0 },
  },
  { name: 'and nobody else', acl: [entry('/pool/p', 'Narrow')], path: '/vms/9002', held: {} },
  {
    name: 'NoAccess on the guest keeps the pool out',
    acl: [entry('/pool/p', 'Narrow'), entry('/vms/9001', 'NoAccess')],
    path: '/vms/9001',
    held: {},
  },
];

describe('privileges on a path', () => {
  for (const { name, acl, who = 'a@pve', privsep, path, held } of rows)
    test(name, () => {
      assert.deepEqual(Object.fromEntries(privilegesOn(config(acl, privsep), who, path)), held);
    });
});

test('paths that can carry an ACL', () => {
  const cases: [string, string | undefined][] = [
    ['/', '/'],
    ['/vms/100', '/vms/100'],
    ['/vms/99', undefined],
    ['/storage/felhom/', '/storage/felhom'],
    ['/pool/a/b/c', '/pool/a/b/c'],
    ['/bogus', undefined],
  ];
  for (const [path, stored] of cases) assert.equal(normalizeAclPath(path), stored, path);
});
