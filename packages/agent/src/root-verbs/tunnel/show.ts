/** `tunnel-show`: whether the fence by port is loaded in the kernel, which only root may look at. */
import type { TunnelWorld } from './world.ts';

type Answer =
  { readonly is: 'done'; readonly tunnelFence: boolean } | { readonly is: 'refused' | 'busy'; readonly text: string };

export async function showTunnelFence(world: TunnelWorld | undefined): Promise<Answer> {
  if (world === undefined) return { is: 'refused', text: 'cannot look at the fence of the tunnel: this host has none' };
  try {
    const { code, stderr } = await world.nft(['list', 'table', 'inet', 'felhom_tunnel']);
    if (code === 0) return { is: 'done', tunnelFence: true };
    if (/No such file or directory/.test(stderr)) return { is: 'done', tunnelFence: false };
    return { is: 'busy', text: `cannot look at the fence of the tunnel: ${stderr.trim().slice(0, 300)}` };
  } catch (error) {
    return { is: 'busy', text: `cannot look at the fence of the tunnel: ${String(error).slice(0, 300)}` };
  }
}
