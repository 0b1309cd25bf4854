// The tabs of a first visit. GraphiQL keeps the visitor's own tabs from then on.
import communities from "./operations/communities.graphql";
import community from "./operations/community.graphql";
import communityLive from "./operations/community-live.graphql";
import homeLive from "./operations/home-live.graphql";

export const examples = [communities, community, homeLive, communityLive].map((query) => ({ query }));
