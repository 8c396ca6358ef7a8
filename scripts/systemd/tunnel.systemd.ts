/**
 * The tunnel's fence [R9]: a stand-in for cloudflared that does whatever "the edge" tells it. The world around the host is a
 * network namespace with the addresses of a guest, of the LAN and of the internet.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootContainer, install } from './container.ts';
import { askHelper, askPort, placeCloudflared, silentServer } from './stand-ins.ts';

const tunnel = 'felhom-cloudflared.service';
const host = '192.168.1.2';
const guest = '192.168.1.50';
const nameServer = '192.168.1.1';

/** Address, port, and whether the tunnel may come there. */
const reach: readonly [string, string, number, boolean][] = [
  ["Cloudflare's edge", '198.41.192.7', 7844, true],
  ['a guest that was named', guest, 80, true],
  ['the name server', nameServer, 53, true],
  ['another port of that guest', guest, 443, false],
  ['a guest that was not named', '192.168.1.51', 80, false],
  ['another machine of the LAN', '192.168.1.9', 80, false],
  ['somebody in the internet', '203.0.113.9', 443, false],
  ['SSH of the host, on loopback', '127.0.0.1', 22, false],
  ['Proxmox, on loopback', '127.0.0.1', 8006, false],
  ['Proxmox, on another loopback address', '127.0.0.2', 8006, false],
  ["Proxmox, on the host's address", host, 8006, false],
  ['its own metrics', '127.0.0.1', 20_241, false],
];

test('the tunnel reaches what it has to and nothing else', async (t) => {
  const container = await bootContainer(t, 'tunnel');
  await install(container);
  await placeCloudflared(container);
  await container.write('/etc/felhom/tunnel.yml', 'tunnel: t\ningress: [{ service: http_status:404 }]\n');
  await container.write('/etc/felhom/tunnel-guests.nft', `define guests = { ${guest} . 80 }\n`);
  await container.write('/etc/felhom/tunnel.json', '{"TunnelSecret":"s"}', '0600');
  await container.write(
    `/etc/systemd/system/${tunnel}.d/reach.conf`,
    `[Service]\nIPAddressAllow=${nameServer}\nIPAddressAllow=${guest}\n`,
  );
  await container.must('systemctl', 'daemon-reload');

  const outside = ['198.41.192.7', '203.0.113.9', guest, nameServer, '192.168.1.51', '192.168.1.9'];
  await container.must(
    'sh',
    '-ec',
    [
      'ip netns add world',
      'ip link add lan type veth peer name lan netns world',
      `ip addr add ${host}/24 dev lan; ip link set lan up; ip route add default dev lan`,
      `ip -n world link set lan up; ip -n world route add ${host} dev lan`,
      ...outside.map((address) => `ip -n world addr add ${address}/32 dev lan`),
    ].join('\n'),
  );
  for (const port of [7844, 80, 53, 443])
    await container.must('systemd-run', '--quiet', 'ip', 'netns', 'exec', 'world', ...silentServer(port));
  for (const port of [22, 8006]) await container.must('systemd-run', '--quiet', ...silentServer(port));
  await container.must('systemctl', 'start', tunnel);

  const unfenced = async (address: string, port: number): Promise<boolean> => {
    const connect = `exit(IO::Socket::INET->new(PeerAddr => "${address}", PeerPort => ${port}, Timeout => 2) ? 0 : 1)`;
    return (await container.run(['perl', '-MIO::Socket::INET', '-e', connect])).code === 0;
  };
  for (const [what, address, port, may] of reach)
    await t.test(`${may ? 'may' : 'may not'}: ${what}`, async () => {
      await container.until(`${address} port ${port} is there`, () => unfenced(address, port));
      const said = await container.must(...askPort(20_241, `${address} ${port}`));
      assert.equal(said === 'reached', may, said);
    });

  await t.test('its metrics are for users of this host, the agent among them', async () => {
    const { stdout } = await container.run(askPort(20_241, '192.0.2.1 1'), { as: 'felhom' });
    assert.match(stdout, /^not: /);
  });

  await t.test(
    'the agent may have it restarted, four times an hour, unless somebody stopped or disabled it',
    async () => {
      await container.must('systemctl', 'start', 'felhom-root.socket');
      const ask = async (verb: string, fields: object = {}): Promise<string> =>
        (await container.run(askHelper, { as: 'felhom', input: JSON.stringify({ v: 1, verb, ...fields }) })).stdout;
      const restart = (operation: string): Promise<string> => ask('tunnel-restart', { operation });
      assert.equal(await ask('tunnel-show'), '{"v":1,"is":"done","tunnelFence":true}');
      assert.match(await restart('a.0'), /"is":"refused".*not enabled/);
      await container.must('systemctl', 'enable', tunnel);
      for (const operation of ['a.1', 'a.2', 'a.3', 'a.4']) {
        const before = await container.show(tunnel, 'MainPID');
        assert.equal(await restart(operation), '{"v":1,"is":"done"}');
        await container.until(`${operation}: another process`, async () => {
          const now = await container.show(tunnel, 'MainPID');
          return now !== '0' && now !== before && (await container.show(tunnel, 'ActiveState')) === 'active';
        });
      }
      assert.match(await restart('a.5'), /"is":"refused".*4 times within an hour/);
      assert.equal(await restart('a.4'), '{"v":1,"is":"done"}', 'the same operation once more does nothing');
      await container.must('systemctl', 'stop', tunnel);
      assert.match(await restart('a.6'), /"is":"refused".*somebody stopped it/);
      assert.equal(await ask('tunnel-show'), '{"v":1,"is":"done","tunnelFence":false}');
      await container.must('systemctl', 'start', tunnel);
    },
  );

  await t.test('without the fence by port it does not start, and its fence goes with it', async () => {
    await container.must('systemctl', 'stop', tunnel);
    assert.equal((await container.run(['nft', 'list', 'table', 'inet', 'felhom_tunnel'])).code, 1);
    await container.must('mv', '/usr/sbin/nft', '/usr/sbin/nft.away');
    await container.must('systemctl', 'start', '--no-block', tunnel);
    await container.until('it tries again', async () => Number(await container.show(tunnel, 'NRestarts')) > 0);
    // Between two tries it is activating or deactivating; it never runs.
    assert.notEqual(await container.show(tunnel, 'ActiveState'), 'active');
    assert.equal(await container.show(tunnel, 'MainPID'), '0');
  });
});
