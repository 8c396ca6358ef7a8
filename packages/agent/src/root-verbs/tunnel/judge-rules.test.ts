import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tunnelDeclaration } from '@felhom/protocol';
import { guestAddresses, whyNotRules } from './judge-rules.ts';
import { nameServersIn, tunnelTexts } from './texts.ts';

const facts = {
  own: ['127.0.0.1', '192.168.1.2', 'fe80::1', '10.98.0.1'],
  guests: new Set(['192.168.1.50', '192.168.1.2']),
};
const to = (service: string) =>
  tunnelDeclaration.parse({
    tunnel: 'dfed0ead-79e1-41cf-82b8-88ca8148a577',
    ingress: [
      { hostname: 'photos.example.org', service: 'http://192.168.1.50:80' },
      { hostname: 'x.example.org', path: '/x', service },
      { service: 'http_status:404' },
    ],
  });

const rows: readonly [what: string, service: string, says: RegExp | undefined][] = [
  ['a guest', 'http://192.168.1.50:80', undefined],
  ['another port of a guest', 'https://192.168.1.50:8443', undefined],
  ['an answer', 'http_status:503', undefined],
  ['loopback', 'http://127.0.0.1:80', /loopback/],
  ['another address of loopback', 'http://127.8.8.8:8006', /loopback/],
  ['nobody, which is this host', 'http://0.0.0.0:80', /nobody/],
  ['what clouds tell their machines', 'http://169.254.169.254:80', /nobody/],
  ['everybody', 'http://255.255.255.255:80', /nobody/],
  ['a group', 'http://224.0.0.1:80', /nobody/],
  ['this host in the LAN, whatever guests say', 'https://192.168.1.2:443', /address of this host/],
  ['this host on the bridge of its guests', 'http://10.98.0.1:80', /address of this host/],
  ['the router', 'http://192.168.1.1:80', /of no guest/],
  ['a NAS beside', 'http://192.168.1.9:5000', /of no guest/],
  ['somebody in the internet', 'http://203.0.113.9:80', /of no guest/],
  ['SSH of a guest', 'http://192.168.1.50:22', /port 22/],
  ['Proxmox', 'https://192.168.1.50:8006', /port 8006/],
  ['a backup server', 'https://192.168.1.50:8007', /port 8007/],
  ['consoles', 'http://192.168.1.50:3128', /port 3128/],
];
for (const [what, service, says] of rows)
  test(`the tunnel ${says === undefined ? 'may' : 'may not'} lead to ${what}`, () => {
    const why = whyNotRules(to(service), facts);
    if (says === undefined) assert.equal(why, undefined);
    else assert.match(why ?? '', says);
  });

const arp = `IP address       HW type     Flags       HW address            Mask     Device
192.168.1.60     0x1         0x2         bc:24:11:00:00:01     *        vmbr0
192.168.1.61     0x1         0x0         bc:24:11:00:00:01     *        vmbr0
192.168.1.9      0x1         0x2         00:11:22:33:44:55     *        vmbr0
`;
test('guests have the addresses that their configs fix, and those that their cards answer for', () => {
  const container = [
    'arch: amd64',
    'description: net9%3A name=eth0,ip=10.0.0.9/24',
    'net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth',
    'net1: name=eth1,bridge=vmbr1,hwaddr=BC:24:11:00:00:02,ip=10.98.0.5/24,type=veth',
    '',
    '[before]',
    'net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:03,ip=192.168.1.77/24,type=veth',
  ].join('\n');
  const machine = 'net0: virtio=BC:24:11:00:00:04,bridge=vmbr0\nipconfig0: gw=192.168.1.1,ip=192.168.1.70/24\n';
  assert.deepEqual([...guestAddresses([container, machine], arp)].toSorted(), [
    '10.98.0.5',
    '192.168.1.60',
    '192.168.1.70',
  ]);
  assert.deepEqual([...guestAddresses([], arp)], []);
});

test('all three files come from the one declaration', () => {
  const { config, guests, dropIn } = tunnelTexts(to('http://192.168.1.51:8080'), ['192.168.1.1']);
  assert.match(config, /^tunnel: dfed0ead-79e1-41cf-82b8-88ca8148a577\ningress:\n {2}- \{"hostname":"photos/m);
  assert.match(
    config,
    /"path":"\^\/x","service":"http:\/\/192\.168\.1\.51:8080"\}\n {2}- \{"service":"http_status:404"\}\n$/,
  );
  assert.match(guests, /^define guests = \{ 192\.168\.1\.50 \. 80, 192\.168\.1\.51 \. 8080 \}$/m);
  assert.deepEqual(dropIn.split('\n').slice(1), [
    '[Service]',
    'IPAddressAllow=192.168.1.1',
    'IPAddressAllow=192.168.1.50',
    'IPAddressAllow=192.168.1.51',
    '',
  ]);
});

test('name servers of the host; those on loopback need no way out', () => {
  const text =
    '# nameserver 1.1.1.1\nnameserver 127.0.0.53\nnameserver 192.168.1.1\nnameserver fe80::1%lo\nsearch lan\n';
  assert.deepEqual(nameServersIn(text), ['192.168.1.1']);
});
