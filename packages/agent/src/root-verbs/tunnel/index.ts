/**
 * Root's verbs about the tunnel to the guests: what it lets in, and that it is restarted.
 *
 * Owns the files that cloudflared and both of its fences are made of, as far as operators signed them. Never handles the
 * credentials of the tunnel, never touches another unit, and never lets it lead to anything but a guest of this host.
 * Read in this order: texts, judge-rules (both pure), world, unit, apply, restart, show.
 */
export { applyTunnel } from './apply.ts';
export type { TunnelApplyOptions } from './apply.ts';
export { guestAddresses } from './judge-rules.ts';
export { restartTunnel } from './restart.ts';
export { showTunnelFence } from './show.ts';
export { nameServersIn } from './texts.ts';
export { tunnelUnit } from './unit.ts';
export type { TunnelPlaces, TunnelWorld } from './world.ts';
