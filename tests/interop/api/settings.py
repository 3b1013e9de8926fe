"""Global settings of an account."""


def check(api, site):
    def buckets(business_calling, voice_connector):
        def are(answer):
            read = [answer[name].get("CdrBucket") for name in ("BusinessCalling", "VoiceConnector")]
            return read == [business_calling, voice_connector]

        return are

    is_both = "BusinessCalling" in api.members("UpdateGlobalSettings")
    if is_both:
        api.answers("GetGlobalSettings", buckets(None, None))
        api.answers("UpdateGlobalSettings", BusinessCalling={"CdrBucket": "calls"}, VoiceConnector={"CdrBucket": "cdrs"})
        api.answers("GetGlobalSettings", buckets("calls", "cdrs"))
        # What is not given stays.
        api.answers("UpdateGlobalSettings", BusinessCalling={"CdrBucket": "others"})
        api.answers("GetGlobalSettings", buckets("others", "cdrs"))
    api.answers("UpdateGlobalSettings", VoiceConnector={"CdrBucket": "records"})
    api.answers("GetGlobalSettings", {"VoiceConnector": {"CdrBucket": "records"}})
    site.other.answers("GetGlobalSettings", lambda answer: not answer["VoiceConnector"].get("CdrBucket"))
