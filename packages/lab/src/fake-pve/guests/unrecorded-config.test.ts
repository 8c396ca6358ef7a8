// What no recording shows: answers that follow from Proxmox's sources and from the wording of recorded neighbours.
// Rows are marked with where they come from; none of them was seen on a real node in exactly this form.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGENT, benchWithGuest, GUEST_CONFIG, said } from './bench-node.fixture.ts';

type Params = Record<string, unknown>;

const format = (key: string, field: string, text: string): string =>
  `${key}: invalid format - format error\n${key}.${field}: ${text}\n`;

test('PUT config: one wrong value per kind of rule, from the source', async () => {
  const path = 'invalid format - /a/. contains illegal character sequences\n';
  const mp = 'invalid format - ../a contains illegal character sequences\n';
  const unit = 'invalid format - value does not look like a valid disk size: 1X\n';
  const boolean = "type check ('boolean') failed - got 'maybe'";
  const rows: [cite: string, params: Params, answer: string][] = [
    ['JSONSchema.pm integer', { memory: '-' }, "memory: type check ('integer') failed - got '-'"],
    ['JSONSchema.pm number', { cpulimit: 'x' }, "cpulimit: type check ('number') failed - got 'x'"],
    ['JSONSchema.pm maximum', { cpulimit: 8193 }, 'cpulimit: value must have a maximum value of 8192'],
    ['JSONSchema.pm minimum', { swap: -1 }, 'swap: value must have a minimum value of 0'],
    ['JSONSchema.pm maximum', { tty: 7 }, 'tty: value must have a maximum value of 6'],
    ['JSONSchema.pm maximum', { cpuunits: 500_001 }, 'cpuunits: value must have a maximum value of 500000'],
    [
      'JSONSchema.pm maxLength',
      { description: 'x'.repeat(8193) },
      'description: value may only be 8192 characters long',
    ],
    ['JSONSchema.pm maxLength', { hostname: 'x'.repeat(256) }, 'hostname: value may only be 255 characters long'],
    [
      'JSONSchema.pm enum',
      { cmode: 'x' },
      "cmode: value 'x' does not have a value in the enumeration 'shell, console, tty'",
    ],
    ['JSONSchema.pm pattern', { env: 'no equals' }, 'env: value does not match the regex pattern'],
    ['JSONSchema.pm pattern', { entrypoint: 'a\u0001' }, 'entrypoint: value does not match the regex pattern'],
    [
      'two at once',
      { cores: 0, memory: 1 },
      'cores: value must have a minimum value of 1|memory: value must have a minimum value of 16',
    ],
    [
      'parse_property_string',
      { net0: 'name=a,name=b' },
      'net0: invalid format - duplicate key in comma-separated list property: name\n',
    ],
    [
      'parse_property_string',
      { net0: 'name=a,x=b' },
      'net0: invalid format - invalid key in comma-separated list property: x\n',
    ],
    [
      'parse_property_string',
      { net0: 'eth0' },
      'net0: invalid format - value without key, but schema does not define a default key\n',
    ],
    [
      'parse_property_string',
      { net0: 'name=a,=b' },
      'net0: invalid format - missing key in comma-separated list property\n',
    ],
    [
      'parse_property_string',
      { mp1: 'files:1,files:2,mp=/a' },
      'mp1: invalid format - duplicate key in comma-separated list property: volume\n',
    ],
    ['parse_property_string', { features: 'fuse=maybe' }, format('features', 'fuse', boolean)],
    ['net tag', { net0: 'name=a,tag=4095' }, format('net0', 'tag', 'value must have a maximum value of 4094')],
    ['net tag', { net0: 'name=a,tag=0' }, format('net0', 'tag', 'value must have a minimum value of 1')],
    ['net mtu', { net0: 'name=a,mtu=63' }, format('net0', 'mtu', 'value must have a minimum value of 64')],
    [
      'net hwaddr',
      { net0: 'name=a,hwaddr=01:24:11:00:00:01' },
      format('net0', 'hwaddr', 'invalid format - value does not look like a valid unicast MAC address\n'),
    ],
    [
      'net ip6',
      { net0: 'name=a,ip6=fe80::1' },
      format('net0', 'ip6', 'invalid format - value does not look like a valid ipv6 network configuration\n'),
    ],
    [
      'net ip',
      { net0: 'name=a,ip=10.0.0.1/24/8' },
      format('net0', 'ip', 'invalid format - value does not look like a valid ipv4 network configuration\n'),
    ],
    [
      'net gw',
      { net0: 'name=a,gw=10.0.0' },
      format('net0', 'gw', 'invalid format - value does not look like a valid IPv4 address\n'),
    ],
    [
      'net type',
      { net0: 'name=a,type=x' },
      format('net0', 'type', "value 'x' does not have a value in the enumeration 'veth'"),
    ],
    ['verify_lxc_mp_string', { mp1: 'files:1,mp=/a/.' }, format('mp1', 'mp', path)],
    ['verify_lxc_mp_string', { mp1: 'files:1,mp=../a' }, format('mp1', 'mp', mp)],
    ['parse_size', { mp1: 'files:1,mp=/a,size=1X' }, format('mp1', 'size', unit)],
    [
      'mountoptions',
      { mp1: 'files:1,mp=/a,mountoptions=exec' },
      format('mp1', 'mountoptions', 'value does not match the regex pattern'),
    ],
    [
      'verify_lxc_dev_string',
      { dev0: '/etc/x' },
      format('dev0', 'path', 'invalid format - /etc/x is not a valid device path\n'),
    ],
    ['dev mode', { dev0: '/dev/fuse,mode=7777' }, format('dev0', 'mode', 'value does not match the regex pattern')],
    [
      'mp index',
      { mp256: 'files:1,mp=/a' },
      'mp256: property is not defined in schema and the schema does not allow additional properties',
    ],
    ['startup order', { startup: 'order=1;up=2' }, 'startup: invalid format - unable to parse startup options\n'],
    ['startup order', { startup: 'first' }, 'startup: invalid format - unable to parse startup options\n'],
    [
      'nameserver',
      { nameserver: '1.1.1.1 host' },
      'nameserver: invalid format - value does not look like a valid IP address\n',
    ],
    [
      'searchdomain',
      { searchdomain: 'lan,bad_name' },
      'searchdomain: invalid format - value does not look like a valid DNS name\n',
    ],
    ['zone.tab', { timezone: 'Etc/UTC' }, "timezone: invalid format - invalid time zone 'Etc/UTC'\n"],
    ['zone.tab', { timezone: 'europe/budapest' }, "timezone: invalid format - invalid time zone 'europe/budapest'\n"],
    ['hookscript', { hookscript: 'x.sh' }, "hookscript: invalid format - unable to parse volume ID 'x.sh'\n"],
    ['unused', { unused0: 'x' }, format('unused0', 'volume', "invalid format - unable to parse volume ID 'x'\n")],
    [
      'lock',
      { lock: 'mine' },
      "lock: value 'mine' does not have a value in the enumeration 'backup, create, destroyed, disk, fstrim, migrate, mounted, rollback, snapshot, snapshot-delete'",
    ],
    [
      'Config.pm delete+set',
      { cores: 2, delete: 'cores' },
      "delete: you can't use '-cores' and -delete cores' at the same time",
    ],
    [
      'Config.pm revert+set',
      { cores: 2, revert: 'cores' },
      "delete: you can't use '-cores' and '-revert cores' at the same time",
    ],
    [
      'Config.pm delete+revert',
      { delete: 'cores', revert: 'cores' },
      "delete: you can't use '-delete cores' and '-revert cores' at the same time",
    ],
    ['Config.pm revert', { revert: 'bogus' }, "revert: unknown option 'bogus'"],
  ];
  const { call, config } = await benchWithGuest();
  const before = await config(101);
  for (const [cite, params, expected] of rows) {
    const answer = await call('PUT', '/lxc/101/config', params);
    assert.deepEqual([cite, answer.status, said(answer)], [cite, 400, expected]);
  }
  assert.deepEqual(await config(101), before, 'a refused change leaves no trace');
});

test('PUT config: values that are accepted, and how they are stored, from the source', async () => {
  const rows: [params: Params, key: string, stored: unknown][] = [
    [{ hostname: 'x'.repeat(70) }, 'hostname', 'x'.repeat(70)],
    [{ startup: '3' }, 'startup', '3'],
    [{ startup: 'up=5,order=2' }, 'startup', 'up=5,order=2'],
    [{ nameserver: '1.1.1.1,fe80::1%eth0' }, 'nameserver', '1.1.1.1 fe80::1%eth0'],
    [{ searchdomain: 'lan;example.org' }, 'searchdomain', 'lan example.org'],
    [{ timezone: 'host' }, 'timezone', 'host'],
    [{ cpuunits: 0 }, 'cpuunits', 1],
    [{ cpuunits: 20_000 }, 'cpuunits', 10_000],
    [{ tags: 'b;A,b c' }, 'tags', 'a;b;c'],
    [{ mp1: 'files:1,mp=./a' }, 'mp1', 'files:vm-101-disk-2,mp=./a,size=1G'],
    [{ mp7: 'files:1,mp=/gap' }, 'mp7', 'files:vm-101-disk-2,mp=/gap,size=1G'],
    [{ env: 'A=1\0B=2' }, 'env', 'A=1\0B=2'],
    [{ delete: 'lock' }, 'lock', undefined],
  ];
  for (const [params, key, stored] of rows) {
    const { call, config } = await benchWithGuest();
    assert.equal(said(await call('PUT', '/lxc/101/config', params)), 'OK', JSON.stringify(params));
    assert.deepEqual((await config(101))[key], stored, JSON.stringify(params));
  }
});

test('PUT config: what the code refuses after the schema, from the source', async () => {
  const flags = 'Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)';
  const paths = 'Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.';
  const plain = GUEST_CONFIG.replace('features: nesting=1,keyctl=1\n', '');
  const protectedOne = `${GUEST_CONFIG}protection: 1\n`;
  const rows: [cite: string, config: string, params: Params, as: string, status: number, text: string][] = [
    ['features: a new set is only nesting', plain, { features: 'nesting=1' }, AGENT, 200, 'OK'],
    ['features: nesting=0 counts as another', plain, { features: 'nesting=0' }, AGENT, 403, flags],
    ['features: a word for 1 is no change', GUEST_CONFIG, { features: 'nesting=yes,keyctl=on' }, AGENT, 200, 'OK'],
    ['Storage.pm check_volume_access', GUEST_CONFIG, { mp1: 'abc,mp=/a' }, AGENT, 500, paths],
    [
      'Config.pm check_content_type',
      GUEST_CONFIG,
      { mp1: 'abc,mp=/a' },
      'root@pam',
      500,
      "unable to parse volume ID 'abc'",
    ],
    [
      'Plugin.pm parse_volname',
      GUEST_CONFIG,
      { mp1: 'files:junk,mp=/a' },
      AGENT,
      500,
      "unable to parse directory volume name 'junk'",
    ],
    [
      'LvmThinPlugin.pm',
      GUEST_CONFIG,
      { mp1: 'thin:junk,mp=/a' },
      AGENT,
      500,
      "unable to parse lvm volume name 'junk'",
    ],
    [
      'content type',
      GUEST_CONFIG,
      { mp1: 'files:backup/vzdump-lxc-1-x.tar,mp=/a' },
      AGENT,
      500,
      "unable to use volume files:backup/vzdump-lxc-1-x.tar - content type needs to be 'rootdir'",
    ],
    [
      'protection',
      protectedOne,
      { delete: 'mp0' },
      AGENT,
      500,
      "can't remove CT 101 drive 'mp0' - protection mode enabled",
    ],
    [
      'protection',
      protectedOne,
      { mp1: 'files:1,mp=/a' },
      AGENT,
      500,
      "can't update CT 101 drive 'mp1' - protection mode enabled",
    ],
    [
      'protection',
      protectedOne,
      { rootfs: 'files:2' },
      AGENT,
      500,
      "can't update CT 101 drive 'rootfs' - protection mode enabled",
    ],
    [
      'Tools.pm get_device_mode_and_rdev',
      GUEST_CONFIG,
      { dev0: '/dev/nosuch' },
      'root@pam',
      500,
      'Device /dev/nosuch does not exist',
    ],
    ['devices', GUEST_CONFIG, { dev0: '/dev/fuse,mode=0666' }, 'root@pam', 200, 'OK'],
    [
      'check_hookscript',
      GUEST_CONFIG,
      { hookscript: 'local:iso/x' },
      'root@pam',
      500,
      "'local:iso/x' is not in the snippets directory",
    ],
    [
      'check_hookscript',
      GUEST_CONFIG,
      { hookscript: 'nosuch:snippets/x' },
      'root@pam',
      500,
      "storage 'nosuch' does not exist",
    ],
    [
      'bridge MTU',
      GUEST_CONFIG,
      { net0: 'name=eth0,bridge=vmbr0,mtu=9000' },
      AGENT,
      500,
      "net0: MTU size '9000' is bigger than bridge MTU '1500'",
    ],
    [
      'ostype is required',
      `${GUEST_CONFIG}ostype: alpine\n`,
      { delete: 'ostype' },
      AGENT,
      500,
      "unable to delete required option 'ostype'",
    ],
  ];
  for (const [cite, config, params, as, status, text] of rows) {
    const { call } = await benchWithGuest(config);
    const answer = await call('PUT', '/lxc/101/config', params, as);
    assert.deepEqual([cite, answer.status, said(answer)], [cite, status, text]);
  }
});

test('LXC/Config.pm write_pct_config: an unused volume that is attached again is no longer listed', async () => {
  const { call, config } = await benchWithGuest();
  await call('PUT', '/lxc/101/config', { delete: 'mp0' });
  assert.equal((await config(101))['unused0'], 'files:vm-101-disk-1');
  await call('PUT', '/lxc/101/config', { mp3: 'files:vm-101-disk-1,mp=/again' });
  const after = await config(101);
  assert.deepEqual([after['unused0'], after['mp3']], [undefined, 'files:vm-101-disk-1,mp=/again,size=1G']);
});
