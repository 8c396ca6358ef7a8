/** Restores that people ask for, their undo windows, and checkpoints. */
import type { Story } from './story.ts';

export const restoreStories: Readonly<Record<string, Story>> = {};
