/** What the sagas of this room need of the world. */
import type { Catalogue } from '../catalogue/index.ts';
import type { ProtectionNeeds } from '../guests/needs.ts';
import type { RestoreStore } from './restore-store.ts';

export type RestoreNeeds = ProtectionNeeds & { readonly catalogue: Catalogue; readonly restores: RestoreStore };
