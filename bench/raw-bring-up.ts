/** The fewest calls that bring up a guest from an archive, as somebody in a hurry would write them. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Transport } from '@felhom/agent';
import type { labGuest } from '@felhom/lab';

export interface RawOrder {
  readonly token: string;
  readonly node: string;
  readonly pool: string;
  readonly vmid: number;
  readonly archive: string;
  readonly guest: ReturnType<typeof labGuest>;
}

const pollMs = 100;

/** Throws on anything but success. */
export async function rawBringUp(transport: Transport, order: RawOrder): Promise<void> {
  const { node, vmid, guest } = order;
  const call = async (
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    form?: Record<string, string>,
  ): Promise<unknown> => {
    const authorization = `PVEAPIToken=${order.token}`;
    const answer = await transport.send(
      {
        method,
        path,
        body: form === undefined ? undefined : new URLSearchParams(form).toString(),
        headers:
          form === undefined
            ? { authorization }
            : { authorization, 'content-type': 'application/x-www-form-urlencoded' },
      },
      new AbortController().signal,
    );
    if (answer.is !== 'answered') throw new Error(`cannot ${method} ${path}: ${answer.failure.is}`);
    if (answer.answer.status !== 200)
      throw new Error(`cannot ${method} ${path}: ${answer.answer.reason} ${answer.answer.body}`);
    return (JSON.parse(answer.answer.body) as { readonly data: unknown }).data;
  };
  const finish = async (upid: unknown): Promise<void> => {
    for (;;) {
      const path = `/nodes/${node}/tasks/${encodeURIComponent(String(upid))}/status`;
      const status = (await call('GET', path)) as { readonly status: string; readonly exitstatus?: string };
      if (status.status === 'stopped') {
        if (status.exitstatus !== 'OK') throw new Error(`cannot bring up ${vmid}: ${status.exitstatus}`);
        return;
      }
      await wait(pollMs);
    }
  };
  const ct = `/nodes/${node}/lxc/${vmid}`;
  await finish(
    await call('POST', `/nodes/${node}/lxc`, {
      vmid: String(vmid),
      ostemplate: order.archive,
      restore: '1',
      pool: order.pool,
      storage: guest.rootfs.storage,
      hostname: guest.hostname,
      memory: String(guest.memoryMiB),
      unprivileged: '1',
      rootfs: `${guest.rootfs.storage}:${guest.rootfs.sizeGiB}`,
      net0: 'name=eth0,bridge=vmbr0,ip=dhcp',
      'ignore-unpack-errors': '0',
    }),
  );
  const volumes = guest.volumes.map(({ storage, sizeGiB, path, backup }, at) => [
    `mp${at}`,
    `${storage}:${sizeGiB},mp=${path},backup=${backup ? 1 : 0}`,
  ]);
  await call('PUT', `${ct}/config`, { ...Object.fromEntries(volumes), onboot: '1' });
  await finish(await call('POST', `${ct}/status/start`, {}));
}
