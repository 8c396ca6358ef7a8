/** Claims of controllers, and their updates. */
import type { Story } from './story.ts';

export const controllerStories: Readonly<Record<string, Story>> = {};
