/** What root's verbs about the tunnel stand on, on a host as it is. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { createHostCommand } from '../adapters/host-command/index.ts';
import { systemClock } from '../adapters/system-clock/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { Systemctl } from '../ports/systemctl.ts';
import { nodePlaces } from '../root-verbs/guests/index.ts';
import { guestAddresses, nameServersIn, tunnelUnit } from '../root-verbs/tunnel/index.ts';
import type { TunnelWorld } from '../root-verbs/tunnel/index.ts';

const cloudflared = '/usr/bin/cloudflared';

export interface HostTunnelOptions {
  /** The root-owned policy, as it is now. */
  readonly policy: () => HostPolicy | { readonly bad: string };
  readonly systemctl: Systemctl;
  /** Root's own folders: what stays, and what goes with a restart of the host. */
  readonly state: string;
  readonly run: string;
}

export function hostTunnel({ policy, systemctl, state, run }: HostTunnelOptions): TunnelWorld {
  const clock = systemClock();
  const validate = createHostCommand({ program: cloudflared, timeoutMs: 10_000 });
  return {
    places: {
      rules: '/etc/felhom/tunnel-rules.json',
      config: '/etc/felhom/tunnel.yml',
      guests: '/etc/felhom/tunnel-guests.nft',
      dropIn: `/etc/systemd/system/${tunnelUnit}.d/felhom-reach.conf`,
      pending: join(state, 'tunnel-before.json'),
      draft: join(run, 'tunnel-draft.yml'),
    },
    systemctl,
    nft: createHostCommand({ program: '/usr/sbin/nft', timeoutMs: 10_000 }),
    cloudflared: () => (existsSync(cloudflared) ? validate : undefined),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    facts: () => {
      const held = policy();
      if ('bad' in held) return { bad: held.bad };
      return {
        own: Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)),
        guests: guestAddresses(configsOf(held), readFileSync(join(nodePlaces.proc, 'net/arp'), 'utf8')),
        nameServers: nameServersIn(existsSync(resolver) ? readFileSync(resolver, 'utf8') : ''),
      };
    },
  };
}

const resolver = '/etc/resolv.conf';

/** Of this node, at the numbers that the agent may have guests at. */
function configsOf({ node, vmids: { guests } }: HostPolicy): readonly string[] {
  return ['lxc', 'qemu-server'].flatMap((kind) => {
    const folder = join(nodePlaces.etcPve, 'nodes', node, kind);
    if (!existsSync(folder)) return [];
    return readdirSync(folder).flatMap((name) => {
      const vmid = Number(/^([1-9]\d{2,8})\.conf$/.exec(name)?.[1] ?? 0);
      return vmid >= guests.from && vmid <= guests.to ? [readFileSync(join(folder, name), 'utf8')] : [];
    });
  });
}
