/**
 * The adapter of `ports/storage-devices.ts` on a real host. Read in this order: look (the kernel's and udev's own word),
 * watch (the children that tell of events), probe (the children that may hang).
 */
import { dirname } from 'node:path';
import type { StorageDevices } from '../../ports/storage-devices.ts';
import { devicePlaces, look } from './look.ts';
import type { DevicePlaces } from './look.ts';
import { createProber } from './probe.ts';
import { eventSources, follow, watchFiles } from './watch.ts';

export type { DevicePlaces } from './look.ts';

export function createStorageDevices(places: Partial<DevicePlaces> = {}): StorageDevices {
  return {
    look: (paths) => look(paths, { ...devicePlaces, ...places }),
    watch: (onEvent, signal) => {
      const { mountinfo, udevData } = { ...devicePlaces, ...places };
      // Plain files tell of their changes themselves; the kernel's do not.
      if (mountinfo !== devicePlaces.mountinfo) return watchFiles([dirname(mountinfo), udevData], onEvent, signal);
      for (const source of eventSources) void follow(source, onEvent, signal);
    },
    probe: createProber(),
  };
}
