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
  ];
  for (const [params, status, answer] of cases) {
    const got = await world.call('PUT', '/access/acl', params);
    assert.equal(got.status, status);
    assert.ok(JSON.stringify(got.body).includes(answer), `${JSON.stringify(got.body)} says ${answer}`);
  }
});
