/**
 * The place that a guest has on its host: starts with the node, has its links up, may be destroyed or not. Two guests
 * of one uid never have it at once [R16]; these are the writes that take it away and give it.
 */
import { formatWithLink } from '../guests/pve-config.ts';
import type { GuestView, NetView, RawChange } from '../guests/pve-config.ts';
import type { ConfigWrite, Marker } from '../guests/settle.ts';
import type { Vmid } from '@felhom/protocol';
import type { PlaceBefore } from './restore-store.ts';

export interface Standing {
  readonly vmid: Vmid;
  readonly marker: Marker;
}

export function placeOf(view: GuestView, running: boolean): PlaceBefore {
  return {
    running,
    onboot: view.onboot,
    protection: view.protection,
    linksDown: Object.fromEntries(view.networks.map((net) => [net.key, net.linkDown])),
  };
}

const flag = (value: boolean): string => (value ? '1' : '0');

export const setFlag = (view: GuestView, key: 'onboot' | 'protection', wanted: boolean): Record<string, string> =>
  view[key] === wanted ? {} : { [key]: flag(wanted) };

function links(view: GuestView, isDown: (net: NetView) => boolean): Record<string, string> {
  return Object.fromEntries(
    view.networks
      .filter((net) => net.linkDown !== isDown(net))
      .map((net) => [net.key, formatWithLink(net, isDown(net) ? 'down' : 'up')]),
  );
}

const all =
  (what: string, missing: (view: GuestView) => Record<string, string>) =>
  (standing: Standing): ConfigWrite => ({
    ...standing,
    what,
    missing: (view): RawChange => ({ set: missing(view), delete: [] }),
  });

export const noStartAtBoot = all('start at boot', (view) => setFlag(view, 'onboot', false));
export const startAtBoot = ({ onboot }: Pick<PlaceBefore, 'onboot'>) =>
  all('start at boot', (view) => setFlag(view, 'onboot', onboot));
export const protect = (wanted: boolean) => all('protection', (view) => setFlag(view, 'protection', wanted));
export const cutOff = all('links', (view) => links(view, () => true));
/** An interface that nobody knew before stays down. */
export const connectAs = ({ linksDown }: Pick<PlaceBefore, 'linksDown'>) =>
  all('links', (view) => links(view, (net) => linksDown[net.key] ?? true));
