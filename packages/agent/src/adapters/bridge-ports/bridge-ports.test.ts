import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { PeerPort } from '../../ports/bridge-ports.ts';
import { createBridgePorts } from './index.ts';
import { guestOfPort, parseArp, parseForwarding, parsePortNumber } from './tables.ts';
import { fakeKernel, fdbEntry } from './test/fake-kernel.ts';
import type { FakeKernel, FakePeer } from './test/fake-kernel.ts';

const macA = 'bc:24:11:00:00:0a';
const macB = 'bc:24:11:00:00:0b';
const guestA: FakePeer = { address: '192.168.1.10', mac: macA, at: ['veth104i0'] };

function kernel(test: TestContext): { readonly files: FakeKernel; readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'bridge-ports-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  return { files: fakeKernel(folder), folder };
}

describe('which port a peer is behind', () => {
  const guest = (vmid: number, net: number, port: string, mac = macA): PeerPort => ({
    is: 'guest',
    vmid,
    net,
    mac,
    port,
  });
  const rows: readonly { what: string; peers: readonly FakePeer[]; asked?: string; want: PeerPort }[] = [
    { what: 'a container', peers: [guestA], want: guest(104, 0, 'veth104i0') },
    {
      what: 'a container behind its firewall bridge',
      peers: [{ ...guestA, at: ['fwpr104p1'] }],
      want: guest(104, 1, 'fwpr104p1'),
    },
    {
      what: 'an IPv4 address on a v6 socket',
      peers: [guestA],
      asked: '::ffff:192.168.1.10',
      want: guest(104, 0, 'veth104i0'),
    },
    {
      what: 'a VLAN of the host on the bridge',
      peers: [{ ...guestA, bridge: 'vmbr0.20' }],
      want: guest(104, 0, 'veth104i0'),
    },
    { what: 'the LAN', peers: [{ ...guestA, at: ['enp3s0'] }], want: { is: 'other', port: 'enp3s0' } },
    { what: 'a virtual machine', peers: [{ ...guestA, at: ['tap104i0'] }], want: { is: 'other', port: 'tap104i0' } },
    {
      what: "the host's own MAC at a guest's port",
      peers: [{ ...guestA, local: true }],
      want: { is: 'other', port: 'veth104i0' },
    },
    { what: 'nobody', peers: [guestA], asked: '192.168.1.99', want: { is: 'unknown' } },
    { what: 'IPv6', peers: [guestA], asked: 'fe80::1', want: { is: 'unknown' } },
    { what: 'an address that is being asked for', peers: [{ ...guestA, flags: '0x0' }], want: { is: 'unknown' } },
    { what: 'a MAC the bridge has forgotten', peers: [{ ...guestA, at: [] }], want: { is: 'unknown' } },
    {
      what: 'a MAC at two ports',
      peers: [{ ...guestA, at: ['veth104i0', 'veth105i0'] }],
      want: { is: 'ambiguous', mac: macA },
    },
    {
      what: 'an address with two MACs',
      peers: [guestA, { ...guestA, mac: macB, bridge: 'vmbr1' }],
      want: { is: 'ambiguous', mac: macA },
    },
  ];
  for (const { what, peers, asked = '192.168.1.10', want } of rows)
    it(what, async (test) => {
      const { files } = kernel(test);
      files.show(peers);
      const ports = createBridgePorts({ ...files, clock: { monotonicMs: () => 0 } });
      assert.deepEqual(await ports.portOf(asked), want);
    });

  it('is unknown where the kernel shows nothing, or something else', async (test) => {
    const { files, folder } = kernel(test);
    const ports = createBridgePorts({ ...files, clock: { monotonicMs: () => 0 } });
    assert.deepEqual(await ports.portOf('192.168.1.10'), { is: 'unknown' });
    files.show([guestA]);
    for (const port_no of ['', '-1', '0x1 0x2', '99999999', '\0']) {
      writeFileSync(join(folder, 'net/vmbr0/brif/veth104i0/port_no'), port_no);
      const again = createBridgePorts({ ...files, clock: { monotonicMs: () => 0 } });
      assert.deepEqual(await again.portOf('192.168.1.10'), { is: 'unknown' }, JSON.stringify(port_no));
    }
  });
});

describe('a MAC that moves', () => {
  it("is nobody's for a minute, then the new port's", async (test) => {
    const { files } = kernel(test);
    let now = 0;
    const ports = createBridgePorts({ ...files, clock: { monotonicMs: () => now } });
    const ask = (): Promise<PeerPort> => ports.portOf('192.168.1.10');
    files.show([guestA], ['veth105i0']);
    assert.equal((await ask()).is, 'guest');
    files.show([{ ...guestA, at: ['veth105i0'] }], ['veth104i0']);
    now = 59_000;
    assert.deepEqual(await ask(), { is: 'ambiguous', mac: macA });
    now = 60_001;
    const moved = await ask();
    assert.equal(moved.is === 'guest' && moved.vmid, 105);
  });

  it('answers from memory for a second at most, and looks again for whom it does not know', async (test) => {
    const { files } = kernel(test);
    let now = 0;
    const ports = createBridgePorts({ ...files, clock: { monotonicMs: () => now } });
    files.show([guestA]);
    assert.equal((await ports.portOf('192.168.1.10')).is, 'guest');
    files.show([{ ...guestA, address: '192.168.1.11' }]);
    now = 400;
    assert.equal((await ports.portOf('192.168.1.10')).is, 'guest');
    assert.equal((await ports.portOf('192.168.1.11')).is, 'guest');
    assert.equal((await ports.portOf('192.168.1.10')).is, 'unknown');
  });

  it('reads anew before a second is over, and waits for it after', async (test) => {
    const { files } = kernel(test);
    let now = 0;
    const ports = createBridgePorts({ ...files, clock: { monotonicMs: () => now } });
    files.show([guestA]);
    await ports.portOf('192.168.1.10');
    files.show([{ ...guestA, at: ['enp3s0'] }]);
    now = 1001;
    assert.notEqual((await ports.portOf('192.168.1.10')).is, 'guest');
  });
});

describe('the tables of the kernel', () => {
  it('takes a neighbour only from a whole line', () => {
    const text = [
      'IP address       HW type     Flags       HW address            Mask     Device',
      `192.168.1.1      0x1         0x2         ${macA}     *        vmbr0`,
      `192.168.1.2      0x1         0x6         ${macB}     *        vmbr0`,
      `192.168.1.3      0x1         0x2         00:00:00:00:00:00     *        vmbr0`,
      `192.168.1.4      0x20        0x2         ${macA}     *        ib0`,
      `192.168.1.5      0x1         0x2         ${macA}     *        ../../etc`,
      `192.168.1.6      0x1         0x2         ${macA}     *        ..`,
      `192.168.1.7      0x1         0x2         ${macA}`,
      `192.168.1.8      0x1         0x2         zz:24:11:00:00:0a     *        vmbr0`,
      '',
    ].join('\n');
    assert.deepEqual([...parseArp(text).keys()], ['192.168.1.1', '192.168.1.2']);
    assert.equal(parseArp('').size, 0);
  });

  it('finds a MAC behind a full table, at a port above 255, and ignores half an entry', () => {
    const flood = Buffer.concat(
      Array.from({ length: 5000 }, (_, at) => fdbEntry(`02:00:00:00:${byte(at >> 8)}:${byte(at & 255)}`, 2)),
    );
    const table = Buffer.concat([
      flood,
      fdbEntry(macA, 0x0203),
      fdbEntry(macA, 0x0203),
      fdbEntry(macB, 7).subarray(0, 9),
    ]);
    const found = parseForwarding(table, new Set([macA, macB]));
    assert.deepEqual(found.get(macA), [{ portNumber: 0x0203, local: false }]);
    assert.equal(found.has(macB), false);
  });

  it('reads a port number as the kernel writes it', () => {
    assert.equal(parsePortNumber('0x1f\n'), 31);
    assert.equal(parsePortNumber('7\n'), 7);
    for (const text of ['', '0x', '0x12345', '1e3', '-1', 'NaN']) assert.equal(parsePortNumber(text), undefined, text);
  });

  it("knows a guest's port by its whole name", () => {
    assert.deepEqual(guestOfPort('veth100i0'), { vmid: 100, net: 0 });
    assert.deepEqual(guestOfPort('fwpr999999999p31'), { vmid: 999_999_999, net: 31 });
    for (const name of [
      'veth99i0',
      'veth0104i0',
      'veth104',
      'veth104p0',
      'fwpr104i0',
      'tap104i0',
      'xveth104i0',
      'veth104i0x',
    ])
      assert.equal(guestOfPort(name), undefined, name);
  });
});

const byte = (value: number): string => value.toString(16).padStart(2, '0');
