// From the source, not recorded: API2/ACL.pm update_acl, under the lock of user.cfg.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testNode } from '../storage/storage-node.fixture.ts';

test('what PUT /access/acl refuses, in its order', async () => {
  const world = await testNode();
  const cases: [params: object, status: number, answer: string][] = [
    [{ path: '/nonsense', roles: 'Nobody' }, 400, "either 'users', 'groups' or 'tokens' is required."],
    [{ path: '/nonsense', roles: 'Nobody', users: 'a@pve' }, 400, "invalid ACL path '/nonsense'"],
    [{ path: '/', roles: 'Nobody', users: 'a@pve' }, 500, "ACL update failed: role 'Nobody' does not exist"],
    [{ path: '/', roles: 'PVEAdmin', users: 'a@pve' }, 500, "ACL update failed: user 'a@pve' does not exist"],
    [
      { path: '/', roles: 'PVEAdmin', tokens: 'root@pam!no' },
      500,
      "ACL update failed: no such token 'no' for user 'root@pam'",
    ],
    [{ path: '/', roles: 'PVEAdmin', groups: 'g' }, 500, "ACL update failed: group 'g' does not exist"],
  ];
  for (const [params, status, answer] of cases) {
    const got = await world.call('PUT', '/access/acl', params);
    assert.equal(got.status, status);
    assert.ok(JSON.stringify(got.body).includes(answer), `${JSON.stringify(got.body)} says ${answer}`);
  }
});

// From the source, not recorded: API2/Group.pm.
test('rights by group, which end with it', async () => {
  const world = await testNode();
  await world.data('POST', '/access/groups', { groupid: 'ops' });
  await world.data('POST', '/access/users', { userid: 'a@pve', groups: 'ops' });
  await world.data('PUT', '/access/acl', { path: '/vms', roles: 'PVEAuditor', groups: 'ops' });
  assert.deepEqual(await world.data('GET', '/access/groups/ops'), { members: ['a@pve'] });
  const who = { user: 'a@pve', full: 'a@pve' };
  assert.equal(world.node.access.has(who, '/vms/100', ['VM.Audit']), true);
  const again = await world.call('POST', '/access/groups', { groupid: 'ops' });
  assert.equal(again.reason, "create group failed: group 'ops' already exists");
  await world.data('DELETE', '/access/groups/ops');
  assert.equal(world.node.access.has(who, '/vms/100', ['VM.Audit']), false);
  const gone = await world.call('DELETE', '/access/groups/ops');
  assert.equal(gone.reason, "delete group failed: group 'ops' does not exist");
});
