/** Files that a host has in /etc/felhom, as far as these tests need them. */
import type { Container } from './container.ts';

export interface Wishes {
  readonly proxmox?: string;
  /** Where desired state comes from. */
  readonly desired?: Readonly<Record<string, unknown>>;
  readonly everySeconds?: number;
}

const policy = {
  v: 1,
  node: 'pve1',
  pool: 'felhom',
  vmids: { guests: { from: 9000, to: 9019 }, scratch: { from: 9800, to: 9809 } },
  bridges: ['vmbr0'],
  storages: ['local'],
  goldens: {},
};

export const pinned = { spkiSha256: '00'.repeat(32) };

/** JSON is YAML. The token is root's, and reaches the agent by systemd alone. */
export async function configure(container: Container, wishes: Wishes = {}): Promise<void> {
  await container.write('/etc/felhom/token', 'felhom@pve!agent=00000000-1111-2222-3333-444444444444', '0600');
  await container.write('/etc/felhom/hub.key', 'key-of-this-host', '0600');
  await container.write('/etc/felhom/policy.yaml', JSON.stringify(policy));
  await container.write(
    '/etc/felhom/agent.yaml',
    JSON.stringify({
      v: 1,
      host: 'box-1',
      proxmox: {
        url: wishes.proxmox ?? 'https://127.0.0.1:8006',
        tokenFile: '/run/credentials/felhom-agent.service/proxmox-token',
        trust: pinned,
      },
      desired: wishes.desired ?? { file: '/srv/desired/state.yaml' },
      helper: { socket: '/run/felhom-root/helper.sock' },
      reconcile: { everySeconds: wishes.everySeconds ?? 1 },
    }),
  );
}

/** What a real host would be watched with takes too long for a test. */
export async function watchdogOf(container: Container, seconds: number): Promise<void> {
  await container.write('/etc/systemd/system/felhom-agent.service.d/test.conf', `[Service]\nWatchdogSec=${seconds}s\n`);
  await container.must('systemctl', 'daemon-reload');
}
