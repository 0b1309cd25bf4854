// Made by build.py of watch/*.graphql: by operation, the id of its document and its text.

export const DOCUMENTS = {
  "CommunityGlance": [
    "e114ea8c0fd519b2b537b58a667273995afbff706a8551c7df4e407081c09218",
    "subscription CommunityGlance($community:ID!$communityStep:Watts$every:Duration$maxSilence:Duration){community(id:$community every:$every maxSilence:$maxSilence hysteresis:0.5){...Glance}}query CommunityGlanceNow($community:ID!$communityStep:Watts){community(id:$community){live{...Glance}}}fragment Glance on CommunityLive{light surplusPower(step:$communityStep)sharedPower(step:$communityStep)trend measuredAt}"
  ],
  "CommunityGlanceNow": [
    "e114ea8c0fd519b2b537b58a667273995afbff706a8551c7df4e407081c09218",
    "subscription CommunityGlance($community:ID!$communityStep:Watts$every:Duration$maxSilence:Duration){community(id:$community every:$every maxSilence:$maxSilence hysteresis:0.5){...Glance}}query CommunityGlanceNow($community:ID!$communityStep:Watts){community(id:$community){live{...Glance}}}fragment Glance on CommunityLive{light surplusPower(step:$communityStep)sharedPower(step:$communityStep)trend measuredAt}"
  ],
  "CommunityHours": [
    "5848110354bd93c274d5513bf41f987431f41b502578f946b5f64eacc1db4647",
    "query CommunityHours($community:ID!){community(id:$community){bestHours(next:\"P1D\"){hours{start end surplus sure}reason}}}"
  ],
  "CommunityToday": [
    "3d8dd9165d2f584b244e094adb02d9e97550cc2193f2a9e09fe19ee5db298af7",
    "subscription CommunityToday($community:ID!$energyStep:WattHours$every:Duration$maxSilence:Duration){community(id:$community every:$every maxSilence:$maxSilence){light today{imported(step:$energyStep)shared(step:$energyStep)saved currency}measuredAt}}"
  ],
  "HomeGlance": [
    "aa1406077cdd6c0910540e80be066a1ea2afa19f0f32bfe41326a14fab0a10bd",
    "subscription HomeGlance($home:ID!$homeStep:Watts$communityStep:Watts$every:Duration$maxSilence:Duration){home(id:$home every:$every maxSilence:$maxSilence hysteresis:0.5){...Glance}}query HomeGlanceNow($home:ID!$homeStep:Watts$communityStep:Watts){home(id:$home){live{...Glance}}}fragment Glance on HomeLive{light community{surplusPower(step:$communityStep)trend}sharedPower(step:$homeStep)quality measuredAt}"
  ],
  "HomeGlanceNow": [
    "aa1406077cdd6c0910540e80be066a1ea2afa19f0f32bfe41326a14fab0a10bd",
    "subscription HomeGlance($home:ID!$homeStep:Watts$communityStep:Watts$every:Duration$maxSilence:Duration){home(id:$home every:$every maxSilence:$maxSilence hysteresis:0.5){...Glance}}query HomeGlanceNow($home:ID!$homeStep:Watts$communityStep:Watts){home(id:$home){live{...Glance}}}fragment Glance on HomeLive{light community{surplusPower(step:$communityStep)trend}sharedPower(step:$homeStep)quality measuredAt}"
  ],
  "HomeHours": [
    "64623a318fe0879cd2251575e7c51dbd4e77f02d2f1e68bef44e28ab47416ff8",
    "query HomeHours($home:ID!){home(id:$home){community{bestHours(next:\"P1D\"){hours{start end surplus sure}reason}}}}"
  ],
  "HomeToday": [
    "fead318f0bac92e7f8b8d1035ef73e95e95c97abf8032c757d2b9cf140bac23f",
    "subscription HomeToday($home:ID!$energyStep:WattHours$every:Duration$maxSilence:Duration){home(id:$home every:$every maxSilence:$maxSilence){light today{imported(step:$energyStep)shared(step:$energyStep)saved currency}quality measuredAt}}"
  ],
  "Places": [
    "e5655e083eabd8d2d9cf803020553968f4c1ff54b5f769b484509fbae99edcde",
    "query Places{communities{id name homes{id name}}}"
  ],
  "Receipt": [
    "58c6a61df6f72ccb70777d121898ee5dc335ee54b57afbf6321fbe1047565a16",
    "query Receipt{receipt{bytesIn bytesOut messagesIn messagesOut wakeups}}"
  ]
};
