/** Every saga this release can run or recover, by `name@version`. Feeds recovery and the generated crash matrix. */
import { addVolume, bringUp, changeConfig, growVolume, startGuest } from './guests/index.ts';
import type { GuestNeeds } from './guests/index.ts';
import type { AnySaga } from './kernel/saga.ts';

const sagas: readonly AnySaga<GuestNeeds>[] = [bringUp, changeConfig, addVolume, growVolume, startGuest];

export const sagaRegistry: ReadonlyMap<string, AnySaga<GuestNeeds>> = new Map(
  sagas.map((saga) => [`${saga.name}@${saga.version}`, saga]),
);
