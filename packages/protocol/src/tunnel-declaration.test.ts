import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestOfService, guestsOfTunnel, reachOfTunnel, tunnelDeclaration } from './tunnel-declaration.ts';

const rest = { service: 'http_status:404' };
const web = { hostname: 'photos.example.org', service: 'http://192.168.1.50:80' };
const of = (...ingress: readonly object[]) => ({ tunnel: 'dfed0ead-79e1-41cf-82b8-88ca8148a577', ingress });
const to = (service: string) => of({ ...web, service }, rest);

const rows: readonly [name: string, declaration: unknown, fits: boolean][] = [
  ['one guest', of(web, rest), true],
  ['a path, and https', of({ ...web, path: '/api', service: 'https://10.0.0.5:8443' }, web, rest), true],
  ['every name below one', of({ ...web, hostname: '*.example.org' }, rest), true],
  ['no rule for the rest', of(web), false],
  ['nobody but an answer', of({ ...web, service: 'http_status:503' }, rest), false],
  ['the rest leads to a guest', of(web, { service: web.service }), false],
  ['the rest in the middle', of(web, rest, web, rest), false],
  ['the rest has a name', of(web, { ...rest, hostname: 'x.example.org' }), false],
  ['the rest has a path', of(web, { ...rest, path: '/x' }), false],
  ['more rules than are ever needed', of(...Array.from({ length: 32 }, () => web), rest), false],
  ['another tunnel', { ...of(web, rest), tunnel: '../x' }, false],
  ['a field more', { ...of(web, rest), 'warp-routing': { enabled: true } }, false],
  ['a field more in a rule', of({ ...web, originRequest: { bastionMode: true } }, rest), false],
  ...[
    'ssh://192.168.1.50:22',
    'tcp://192.168.1.50:5432',
    'rdp://192.168.1.50:3389',
    'unix:/run/felhom-root/helper.sock',
    'unix+tls:/run/x',
    'socks-proxy',
    'bastion',
    'hello_world',
    'http://localhost:80',
    'http://guest.lan:80',
    'http://192.168.1.50',
    'http://192.168.1.50:0',
    'http://192.168.1.50:65536',
    'http://192.168.1.50:80/x',
    'http://192.168.1.50:80@10.0.0.1:80',
    'http://user@192.168.1.50:80',
    'http://192.168.1.050:80',
    'http://0300.0250.1.50:80',
    'http://3232235826:80',
    'http://0x7f.0.0.1:80',
    'http://[::1]:80',
    'http://192.168.1.256:80',
    'http://192.168.1:80',
    'HTTP://192.168.1.50:80',
    'http://192.168.1.50:80\n',
    ' http://192.168.1.50:80',
    'http://１９２.168.1.50:80',
    'http_status:99',
    'http_status:404 ',
  ].map((service): [string, unknown, boolean] => [`service ${JSON.stringify(service)}`, to(service), false]),
  ...[
    '',
    'photos',
    'Photos.example.org',
    '*',
    '*.*.example.org',
    'a..org',
    '-a.org',
    'a.org\n',
    'a.org: x',
    'ä.org',
  ].map((hostname): [string, unknown, boolean] => [
    `host ${JSON.stringify(hostname)}`,
    of({ ...web, hostname }, rest),
    false,
  ]),
  ...['', 'x', '/a b', '/a\n', '/(a+)+$', '/.*', '/"', '/ä'].map((path): [string, unknown, boolean] => [
    `path ${JSON.stringify(path)}`,
    of({ ...web, path }, rest),
    false,
  ]),
];
for (const [name, declaration, fits] of rows)
  test(`what a tunnel lets in: ${name}: ${fits ? 'fits' : 'does not fit'}`, () => {
    assert.equal(tunnelDeclaration.safeParse(declaration).success, fits);
  });

test('guests are those that the rules lead to, each once', () => {
  const other = { hostname: 'wiki.example.org', service: 'http://192.168.1.51:8080' };
  const parsed = tunnelDeclaration.parse(of(other, web, { ...web, hostname: 'a.example.org' }, rest));
  assert.deepEqual(guestsOfTunnel(parsed), ['192.168.1.51', '192.168.1.50']);
  assert.deepEqual(reachOfTunnel(parsed), ['192.168.1.51:8080', '192.168.1.50:80']);
  assert.deepEqual(guestOfService('https://10.0.0.5:8443'), { address: '10.0.0.5', port: 8443 });
});
